// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Base} from "./Base.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {TokenPolicyView} from "../src/TokenPolicyView.sol";
import {HubProxy} from "../src/base/HubProxy.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {IERC7943Fungible} from "../src/interfaces/IERC7943.sol";
import {IRwaToken} from "../src/interfaces/IRwaToken.sol";
import {Rights} from "../src/lib/Rights.sol";
import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

contract TokenTest is Base {
    function setUp() public override {
        super.setUp();
        _mint(alice, 1000e6);
    }

    // ------------------------------------------------------------ ERC-20

    function test_metadata() public view {
        assertEq(token.name(), "ACME Bond");
        assertEq(token.symbol(), "ACME");
        assertEq(token.decimals(), 6);
        assertEq(token.version(), "1.0.0");
        assertEq(token.totalSupply(), 1000e6);
        assertEq(token.onchainID(), address(0));
        assertEq(token.identityRegistry(), address(policy));
        assertEq(token.compliance(), address(policy));
        assertEq(address(token.engine()), address(s.engine));
    }

    function test_transfer_moves_balance() public {
        _transfer(alice, bob, 400e6);
        assertEq(token.balanceOf(alice), 600e6);
        assertEq(token.balanceOf(bob), 400e6);
    }

    function test_transfer_refusals() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        token.transfer(address(0), 1);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 1000e6, 1000e6 + 1)
        );
        token.transfer(bob, 1000e6 + 1);
        _expectRefused(IComplianceEngine.Reason.ReceiverNotRegistered, alice, dave, 1);
        vm.prank(alice);
        token.transfer(dave, 1);
    }

    function test_transfer_to_oneself_and_of_nothing_change_nothing() public {
        _transfer(alice, alice, 1000e6);
        _transfer(alice, bob, 0);
        assertEq(token.balanceOf(alice), 1000e6);
        assertEq(s.engine.holderCount(address(token)), 1);
    }

    function test_allowances() public {
        vm.prank(alice);
        token.approve(bob, 10);
        vm.prank(bob);
        token.transferFrom(alice, carol, 4);
        assertEq(token.allowance(alice, bob), 6);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, bob, 6, 7));
        token.transferFrom(alice, carol, 7);
        vm.prank(alice);
        token.approve(bob, type(uint256).max);
        vm.prank(bob);
        token.transferFrom(alice, carol, 7);
        assertEq(token.allowance(alice, bob), type(uint256).max);
        vm.prank(alice);
        token.transferFrom(alice, carol, 1); // one's own tokens need no allowance
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidSpender.selector, address(0)));
        token.approve(address(0), 1);
    }

    function test_frozen_spender_cannot_use_allowance() public {
        vm.prank(alice);
        token.approve(bob, 10);
        vm.prank(agent);
        token.setAddressFrozen(bob, true);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotSend.selector, bob));
        token.transferFrom(alice, carol, 1);
    }

    function test_batchTransfer() public {
        vm.prank(alice);
        token.batchTransfer(_list(bob, carol), _list(1, 2));
        assertEq(token.balanceOf(bob) + token.balanceOf(carol), 3);
        vm.prank(alice);
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchTransfer(_list(bob, carol), _list(1));
    }

    // ------------------------------------------------------------ permit

    function _permitDigest(address owner, address spender, uint256 value, uint256 deadline)
        private
        view
        returns (bytes32)
    {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 h = keccak256(abi.encode(typeHash, owner, spender, value, token.nonces(owner), deadline));
        return keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), h));
    }

    function test_permit() public {
        uint256 deadline = block.timestamp + 1;
        bytes32 digest = _permitDigest(alice, bob, 5, deadline);
        (uint8 v, bytes32 r, bytes32 ss) = vm.sign(ALICE_KEY, digest);
        token.permit(alice, bob, 5, deadline, v, r, ss);
        assertEq(token.allowance(alice, bob), 5);
        assertEq(token.nonces(alice), 1);
        vm.expectPartialRevert(IRwaToken.InvalidSigner.selector); // replay
        token.permit(alice, bob, 5, deadline, v, r, ss);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.PermitExpired.selector, deadline));
        token.permit(alice, bob, 5, deadline, v, r, ss);
    }

    function test_permit_of_another_chain_is_refused() public {
        uint256 deadline = block.timestamp + 1;
        (uint8 v, bytes32 r, bytes32 ss) = vm.sign(ALICE_KEY, _permitDigest(alice, bob, 5, deadline));
        vm.chainId(2);
        vm.expectPartialRevert(IRwaToken.InvalidSigner.selector);
        token.permit(alice, bob, 5, deadline, v, r, ss);
    }

    function test_domain_is_readable_and_follows_the_name() public {
        (, string memory name, string memory version, uint256 chainId, address where,,) = token.eip712Domain();
        assertEq(name, "ACME Bond");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(where, address(token));
        bytes32 before = token.DOMAIN_SEPARATOR();
        vm.prank(timelock);
        token.setName("ACME Note");
        assertTrue(before != token.DOMAIN_SEPARATOR());
    }

    // ------------------------------------------------------------ supply

    function test_mint_and_burn_rights() public {
        _expectMissing(alice, Rights.SUPPLY);
        vm.prank(alice);
        token.mint(alice, 1);
        _expectMissing(alice, Rights.SUPPLY);
        vm.prank(alice);
        token.burn(alice, 1);
        vm.prank(agent);
        vm.expectRevert(IRwaToken.CaseRequired.selector);
        token.burn(alice, 1);
        vm.prank(agent);
        token.burn(alice, 400e6, CASE);
        assertEq(token.totalSupply(), 600e6);
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, alice, 600e6, 601e6));
        token.burn(alice, 601e6, CASE);
    }

    function test_mint_limits() public {
        vm.startPrank(agent);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        token.mint(address(0), 1);
        vm.expectRevert(IRwaToken.SupplyOverflow.selector);
        token.mint(bob, type(uint128).max);
        token.setAddressFrozen(bob, true);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotReceive.selector, bob));
        token.mint(bob, 1);
        vm.stopPrank();
    }

    function test_batch_mint_and_burn() public {
        vm.startPrank(agent);
        token.batchMint(_list(bob, carol), _list(5, 6));
        token.openCase(CASE);
        assertEq(token.openCaseOf(agent), CASE);
        token.batchBurn(_list(bob, carol), _list(5, 1));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchMint(_list(bob, carol), _list(5));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchBurn(_list(bob, carol), _list(5));
        vm.stopPrank();
        assertEq(token.totalSupply(), 1000e6 + 5);
    }

    function test_burn_takes_frozen_tokens_and_unfreezes_them() public {
        vm.startPrank(agent);
        token.freezePartialTokens(alice, 900e6);
        token.burn(alice, 500e6, CASE);
        vm.stopPrank();
        assertEq(token.getFrozenTokens(alice), 500e6);
        assertEq(token.freeBalanceOf(alice), 0);
    }

    // ------------------------------------------------------------ freezes

    function test_frozen_amount_cannot_move() public {
        vm.prank(agent);
        token.freezePartialTokens(alice, 900e6);
        assertEq(token.freeBalanceOf(alice), 100e6);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC7943Fungible.ERC7943InsufficientUnfrozenBalance.selector, alice, 100e6 + 1, 100e6
            )
        );
        token.transfer(bob, 100e6 + 1);
        _transfer(alice, bob, 100e6);
        vm.startPrank(agent);
        token.unfreezePartialTokens(alice, 900e6);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.InsufficientFrozen.selector, alice, 0, 1));
        token.unfreezePartialTokens(alice, 1);
        vm.stopPrank();
    }

    function test_freeze_beyond_balance_catches_later_receipts() public {
        vm.prank(agent);
        token.setFrozenTokens(alice, 2000e6);
        _mint(alice, 500e6);
        vm.prank(alice);
        vm.expectPartialRevert(IERC7943Fungible.ERC7943InsufficientUnfrozenBalance.selector);
        token.transfer(bob, 1);
        vm.startPrank(agent);
        vm.expectRevert(IRwaToken.FreezeOverflow.selector);
        token.setFrozenTokens(alice, 1 << 120);
        vm.expectRevert(IRwaToken.FreezeOverflow.selector);
        token.freezePartialTokens(alice, (1 << 120) - 1);
        vm.expectRevert(IRwaToken.FreezeOverflow.selector);
        token.freezePartialTokens(alice, type(uint256).max);
        vm.stopPrank();
    }

    function test_frozen_wallet_neither_sends_nor_receives() public {
        vm.prank(agent);
        token.setAddressFrozen(alice, true, CASE);
        assertTrue(token.isFrozen(alice));
        assertEq(token.freeBalanceOf(alice), 0);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotSend.selector, alice));
        token.transfer(bob, 1);
        _mint(bob, 1);
        vm.prank(bob);
        vm.expectRevert(abi.encodeWithSelector(IERC7943Fungible.ERC7943CannotReceive.selector, alice));
        token.transfer(alice, 1);
        vm.prank(agent);
        token.setAddressFrozen(alice, false);
        _transfer(bob, alice, 1);
    }

    function test_batch_freezes() public {
        bool[] memory on = new bool[](2);
        on[0] = true;
        vm.startPrank(agent);
        token.batchSetAddressFrozen(_list(alice, bob), on);
        token.batchFreezePartialTokens(_list(alice, bob), _list(5, 6));
        token.batchUnfreezePartialTokens(_list(alice, bob), _list(5, 1));
        assertTrue(token.setFrozenTokens(carol, 3, CASE));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchSetAddressFrozen(_list(alice), on);
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchFreezePartialTokens(_list(alice), _list(1, 2));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchUnfreezePartialTokens(_list(alice), _list(1, 2));
        vm.stopPrank();
        assertTrue(token.isFrozen(alice) && !token.isFrozen(bob));
        assertEq(token.getFrozenTokens(bob), 5);
        assertEq(token.getFrozenTokens(carol), 3);
    }

    // ------------------------------------------------------------ forced actions

    function test_forced_transfer_needs_right_and_case() public {
        _expectMissing(alice, Rights.FORCE);
        vm.prank(alice);
        token.forcedTransfer(alice, bob, 1);
        vm.startPrank(agent);
        vm.expectRevert(IRwaToken.CaseRequired.selector);
        token.forcedTransfer(alice, bob, 1);
        token.freezePartialTokens(alice, 950e6);
        vm.expectEmit(address(token));
        emit IRwaToken.CaseNoted(CASE, alice, IERC7943Fungible.forcedTransfer.selector, agent);
        assertTrue(token.forcedTransfer(alice, bob, 100e6, CASE));
        vm.stopPrank();
        assertEq(token.getFrozenTokens(alice), 900e6);
        assertEq(token.balanceOf(bob), 100e6);
    }

    function test_forced_transfer_works_while_paused_and_frozen_and_over_limits() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.maxBalance = 10;
        r.lockupSecs = 100 days;
        vm.prank(agent);
        s.engine.setRules(address(token), r);
        vm.startPrank(agent);
        s.engine.lock(address(token), alice, 1000e6, uint64(block.timestamp + 10 days));
        token.pause();
        token.setAddressFrozen(alice, true);
        token.openCase(CASE);
        assertTrue(token.forcedTransfer(alice, bob, 1000e6));
        vm.stopPrank();
        assertEq(token.balanceOf(bob), 1000e6);
        assertEq(s.engine.holderCount(address(token)), 1);
    }

    function test_forced_transfer_only_to_eligible_receiver() public {
        vm.startPrank(agent);
        _expectRefused(IComplianceEngine.Reason.ReceiverNotRegistered, alice, dave, 1);
        token.forcedTransfer(alice, dave, 1, CASE);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        token.forcedTransfer(alice, address(0), 1, CASE);
        token.forcedTransfer(alice, alice, 1000e6, CASE); // to oneself: nothing changes
        vm.stopPrank();
        assertEq(token.balanceOf(alice), 1000e6);
        assertEq(s.engine.holderCount(address(token)), 1);
    }

    function test_batch_forced_transfer() public {
        vm.startPrank(agent);
        token.openCase(CASE);
        token.batchForcedTransfer(_list(alice, alice), _list(bob, carol), _list(1, 2));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchForcedTransfer(_list(alice, alice), _list(bob), _list(1, 2));
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        token.batchForcedTransfer(_list(alice), _list(bob), _list(1, 2));
        vm.stopPrank();
        assertEq(token.balanceOf(carol), 2);
        _expectMissing(alice, Rights.FORCE);
        vm.prank(alice);
        token.openCase(CASE);
    }

    function test_recovery_moves_everything() public {
        address next = address(0x2E41);
        vm.prank(kyc);
        s.engine.registerIdentity(next, alice, DE);
        vm.startPrank(agent);
        token.freezePartialTokens(alice, 700e6);
        token.freezePartialTokens(next, 1);
        s.engine.lock(address(token), alice, 300e6, uint64(block.timestamp + 1 days));
        vm.expectRevert(IRwaToken.CaseRequired.selector);
        token.recoveryAddress(alice, next, alice);
        assertTrue(token.recoveryAddress(alice, next, alice, CASE));
        vm.stopPrank();
        assertEq(token.balanceOf(next), 1000e6);
        assertEq(token.getFrozenTokens(next), 700e6 + 1);
        assertEq(token.balanceOf(alice), 0);
        assertEq(token.getFrozenTokens(alice), 0);
        assertTrue(token.isFrozen(alice) && !token.isFrozen(next));
        (uint256 locked,) = s.engine.lockOf(address(token), next);
        assertEq(locked, 300e6);
        (locked,) = s.engine.lockOf(address(token), alice);
        assertEq(locked, 0);
        assertEq(s.engine.holderCount(address(token)), 1);
        assertEq(s.engine.tokensHeld(alice), 0);
        assertEq(s.engine.holdingWallets(alice)[0], next);
    }

    function test_recovery_of_frozen_wallet_freezes_the_next() public {
        address next = address(0x2E41);
        vm.prank(kyc);
        s.engine.registerIdentity(next, alice, DE);
        vm.startPrank(agent);
        token.setAddressFrozen(alice, true);
        token.openCase(CASE);
        token.recoveryAddress(alice, next, alice);
        vm.stopPrank();
        assertTrue(token.isFrozen(next));
    }

    function test_recovery_refusals() public {
        address next = address(0x2E41);
        vm.startPrank(agent);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.NothingToRecover.selector, bob));
        token.recoveryAddress(bob, next, bob, CASE);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.NothingToRecover.selector, alice));
        token.recoveryAddress(alice, alice, alice, CASE);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.IdentityMismatch.selector, alice, bob));
        token.recoveryAddress(alice, bob, alice, CASE);
        vm.stopPrank();
        vm.prank(kyc);
        s.engine.registerIdentity(next, alice, DE);
        vm.startPrank(agent);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.IdentityMismatch.selector, alice, bob));
        token.recoveryAddress(alice, next, bob, CASE);
        vm.stopPrank();
        vm.prank(kyc);
        s.engine.deleteIdentity(next);
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.IdentityMismatch.selector, alice, next));
        token.recoveryAddress(alice, next, alice, CASE);
        vm.prank(kyc);
        s.engine.registerIdentity(next, alice, KP);
        vm.prank(agent);
        _expectRefused(IComplianceEngine.Reason.CountryRefused, alice, next, 1000e6);
        token.recoveryAddress(alice, next, alice, CASE);
        _expectMissing(bob, Rights.RECOVER);
        vm.prank(bob);
        token.recoveryAddress(alice, next, alice, CASE);
        _expectMissing(bob, Rights.RECOVER);
        vm.prank(bob);
        token.recoveryAddress(alice, next, alice);
    }

    function test_recovered_freeze_saturates() public {
        address next = address(0x2E41);
        vm.prank(kyc);
        s.engine.registerIdentity(next, alice, DE);
        vm.startPrank(agent);
        token.setFrozenTokens(alice, (1 << 120) - 1);
        token.setFrozenTokens(next, 5);
        token.recoveryAddress(alice, next, alice, CASE);
        vm.stopPrank();
        assertEq(token.getFrozenTokens(next), (1 << 120) - 1);
    }

    // ------------------------------------------------------------ pause

    function test_pause_and_guardian() public {
        _expectMissing(alice, Rights.PAUSE);
        vm.prank(alice);
        token.pause();
        vm.prank(guardian);
        token.pause();
        assertTrue(token.paused());
        vm.prank(agent);
        vm.expectRevert(IRwaToken.EnforcedPause.selector);
        token.pause();
        vm.prank(alice);
        vm.expectRevert(IRwaToken.EnforcedPause.selector);
        token.transfer(bob, 1);
        _expectMissing(guardian, Rights.PAUSE);
        vm.prank(guardian);
        token.unpause();
        vm.startPrank(agent);
        token.unpause();
        vm.expectRevert(IRwaToken.ExpectedPause.selector);
        token.unpause();
        vm.stopPrank();
        _transfer(alice, bob, 1);
    }

    /// The guardian can pause; nothing else of the token, the engine or the factory answers it.
    function test_guardian_can_only_pause() public {
        bytes[] memory calls = new bytes[](9);
        calls[0] = abi.encodeCall(token.unpause, ());
        calls[1] = abi.encodeCall(token.mint, (alice, 1));
        calls[2] = abi.encodeWithSignature("burn(address,uint256,bytes32)", alice, 1, CASE);
        calls[3] = abi.encodeWithSignature("forcedTransfer(address,address,uint256,bytes32)", alice, bob, 1, CASE);
        calls[4] = abi.encodeCall(token.freezePartialTokens, (alice, 1));
        calls[5] = abi.encodeCall(token.grantRights, (guardian, 1));
        calls[6] = abi.encodeCall(token.revokeRights, (agent, 1));
        calls[7] = abi.encodeCall(token.setName, ("x"));
        calls[8] = abi.encodeCall(token.upgradeToAndCall, (s.tokenImplementation, ""));
        for (uint256 k = 0; k < calls.length; ++k) {
            vm.prank(guardian);
            (bool ok,) = address(token).call(calls[k]);
            assertFalse(ok);
        }
        _expectMissing(guardian, Rights.RULES);
        vm.prank(guardian);
        s.engine.setRules(address(token), _rules());
    }

    // ------------------------------------------------------------ agents and owner

    function test_agents_as_in_erc3643() public {
        vm.startPrank(timelock);
        token.addAgent(dave);
        assertTrue(token.isAgent(dave));
        assertEq(token.rightsOf(dave), Rights.ERC3643_AGENT);
        token.removeAgent(dave);
        assertFalse(token.isAgent(dave));
        vm.expectRevert(abi.encodeWithSignature("InvalidAgent()"));
        token.addAgent(address(0));
        vm.expectRevert(abi.encodeWithSignature("InvalidRights(uint256)", 1 << 200));
        token.grantRights(dave, 1 << 200);
        vm.expectRevert(abi.encodeWithSignature("InvalidRights(uint256)", 0));
        token.grantRights(dave, 0);
        vm.stopPrank();
        _expectNotOwner(agent);
        vm.prank(agent);
        token.addAgent(dave);
        _expectNotOwner(agent);
        vm.prank(agent);
        token.grantRights(dave, 1);
    }

    function test_rights_are_separate_and_revoked_at_once() public {
        vm.prank(timelock);
        token.grantRights(dave, Rights.FREEZE);
        vm.startPrank(dave);
        token.freezePartialTokens(alice, 1);
        _expectMissing(dave, Rights.SUPPLY);
        token.mint(alice, 1);
        vm.stopPrank();
        vm.prank(safe); // REVOKE: takes away without delay
        token.revokeRights(dave, Rights.FREEZE);
        _expectMissing(dave, Rights.FREEZE);
        vm.prank(dave);
        token.freezePartialTokens(alice, 1);
        _expectMissing(dave, Rights.REVOKE);
        vm.prank(dave);
        token.revokeRights(agent, Rights.FREEZE);
        vm.prank(agent); // one may drop one's own
        token.revokeRights(agent, Rights.SUPPLY);
        assertFalse(token.hasRight(agent, Rights.SUPPLY));
    }

    function test_ownership_in_two_steps() public {
        vm.prank(timelock);
        token.transferOwnership(dave);
        assertEq(token.owner(), timelock);
        vm.prank(dave);
        token.acceptOwnership();
        assertEq(token.owner(), dave);
        vm.prank(dave);
        vm.expectRevert(abi.encodeWithSignature("OwnershipCannotBeRenounced()"));
        token.renounceOwnership();
        _expectNotOwner(alice);
        vm.prank(alice);
        token.renounceOwnership();
    }

    function test_owner_setters() public {
        vm.startPrank(timelock);
        token.setName("New");
        token.setSymbol("NEW");
        token.setOnchainID(address(7));
        vm.expectRevert(IRwaToken.InvalidName.selector);
        token.setName("");
        vm.expectRevert(IRwaToken.InvalidName.selector);
        token.setSymbol("");
        vm.stopPrank();
        assertEq(token.name(), "New");
        assertEq(token.symbol(), "NEW");
        assertEq(token.onchainID(), address(7));
        _expectNotOwner(agent);
        vm.prank(agent);
        token.setName("x");
        _expectNotOwner(agent);
        vm.prank(agent);
        token.setSymbol("x");
        _expectNotOwner(agent);
        vm.prank(agent);
        token.setOnchainID(agent);
        _expectNotOwner(agent);
        vm.prank(agent);
        token.setCompliance(agent);
        _expectNotOwner(agent);
        vm.prank(agent);
        token.setIdentityRegistry(agent);
    }

    function test_policy_changes_within_the_engine() public {
        address view2 =
            Clones.cloneWithImmutableArgs(s.policyImplementation, abi.encode(address(token), address(s.engine)));
        vm.startPrank(timelock);
        token.setIdentityRegistry(view2);
        assertEq(token.compliance(), view2);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.InvalidPolicy.selector, view2));
        token.setCompliance(view2);
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.InvalidPolicy.selector, dave));
        token.setCompliance(dave);
        address foreign =
            Clones.cloneWithImmutableArgs(s.policyImplementation, abi.encode(address(usd), address(s.engine)));
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.InvalidPolicy.selector, foreign));
        token.setCompliance(foreign);
        address other = Clones.cloneWithImmutableArgs(s.policyImplementation, abi.encode(address(token), address(usd)));
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.EngineInUse.selector, address(s.engine), token.totalSupply()));
        token.setCompliance(other);
        vm.stopPrank();
    }

    function test_policy_changes_engine_without_supply() public {
        vm.prank(agent);
        token.burn(alice, 1000e6, CASE);
        ComplianceEngine engine2 = ComplianceEngine(
            address(
                new HubProxy(
                    address(new ComplianceEngine(s.versions)),
                    abi.encodeCall(ComplianceEngine.initialize, (address(this)))
                )
            )
        );
        address view2 =
            Clones.cloneWithImmutableArgs(s.policyImplementation, abi.encode(address(token), address(engine2)));
        vm.prank(timelock);
        token.setCompliance(view2);
        assertEq(address(token.engine()), address(engine2));
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenNotBound.selector, address(token)));
        token.mint(alice, 1);
    }

    function test_initialize_refusals() public {
        IRwaToken.Setup memory setup;
        vm.expectRevert(abi.encodeWithSignature("InvalidInitialization()"));
        token.initialize(setup);
        vm.expectRevert(abi.encodeWithSignature("InvalidInitialization()"));
        RwaToken(s.tokenImplementation).initialize(setup);
        TokenFactory.TokenTerms memory t = _terms("", "salt-2");
        vm.expectRevert(IRwaToken.InvalidName.selector);
        s.factory.deployToken(t);
        t = _terms("Name", "salt-2");
        t.symbol = "";
        vm.expectRevert(IRwaToken.InvalidName.selector);
        s.factory.deployToken(t);
        t = _terms("Name", "salt-2");
        t.decimals = 19;
        vm.expectRevert(abi.encodeWithSelector(IRwaToken.InvalidDecimals.selector, 19));
        s.factory.deployToken(t);
        t = _terms("Name", "salt-2");
        t.rights = _list(1);
        vm.expectRevert(IRwaToken.LengthMismatch.selector);
        s.factory.deployToken(t);
    }

    // ------------------------------------------------------------ ERC-7943, ERC-165

    function test_erc7943_questions() public {
        assertTrue(token.canSend(alice) && token.canReceive(alice) && token.canTransact(alice));
        assertFalse(token.canReceive(dave));
        assertFalse(token.canSend(dave));
        assertTrue(token.canTransfer(alice, bob, 1));
        assertFalse(token.canTransfer(alice, dave, 1));
        assertFalse(token.canTransfer(alice, bob, 1001e6));
        assertFalse(token.canTransfer(address(0), bob, 1));
        assertFalse(token.canTransfer(alice, address(0), 1));
        vm.prank(agent);
        token.setAddressFrozen(bob, true);
        assertFalse(token.canSend(bob));
        assertFalse(token.canReceive(bob));
        assertFalse(token.canTransact(bob));
        assertFalse(token.canTransfer(alice, bob, 1));
        assertFalse(token.canTransfer(bob, alice, 0));
        vm.prank(agent);
        token.pause();
        assertFalse(token.canTransfer(alice, carol, 1));
    }

    function test_interfaces() public view {
        assertEq(bytes32(type(IERC7943Fungible).interfaceId), bytes32(bytes4(0x3edbb4c4)));
        assertTrue(token.supportsInterface(0x3edbb4c4), "ERC-7943");
        assertTrue(token.supportsInterface(0x01ffc9a7), "ERC-165");
        assertTrue(token.supportsInterface(0x36372b07), "ERC-20");
        assertTrue(token.supportsInterface(0x9d8ff7da), "ERC-2612");
        assertFalse(token.supportsInterface(0xffffffff));
    }

    // ------------------------------------------------------------ ERC-1643

    function test_documents() public {
        vm.startPrank(agent);
        token.setDocument("prospectus", "ipfs://a", keccak256("a"));
        token.setDocument("prospectus", "ipfs://b", keccak256("b"));
        token.setDocument("terms", "ipfs://c", keccak256("c"));
        vm.stopPrank();
        (string memory uri, bytes32 hash, uint256 modified) = token.getDocument("prospectus");
        assertEq(uri, "ipfs://b");
        assertEq(hash, keccak256("b"));
        assertEq(modified, block.timestamp);
        assertEq(token.getAllDocuments().length, 2);
        assertEq(s.documents.versionOf(address(token), "prospectus"), 2);
        _expectMissing(alice, Rights.DOCUMENTS);
        vm.prank(alice);
        token.setDocument("x", "y", 0);
        _expectMissing(alice, Rights.DOCUMENTS);
        vm.prank(alice);
        token.removeDocument("terms");
        vm.prank(agent);
        token.removeDocument("prospectus");
        (uri,, modified) = token.getDocument("prospectus");
        assertEq(bytes(uri).length + modified, 0);
    }

    function test_documents_at_the_registry() public {
        vm.startPrank(agent);
        s.documents.setDocument(address(token), "terms", "ipfs://c", keccak256("c"));
        assertEq(s.documents.names(address(token))[0], "terms");
        s.documents.removeDocument(address(token), "terms");
        vm.expectRevert(abi.encodeWithSignature("UnknownDocument(address,bytes32)", address(token), bytes32("terms")));
        s.documents.removeDocument(address(token), "terms");
        vm.expectRevert(abi.encodeWithSignature("InvalidDocument()"));
        s.documents.setDocument(address(token), "", "ipfs://c", 0);
        vm.expectRevert(abi.encodeWithSignature("InvalidDocument()"));
        s.documents.setDocument(address(token), "x", "", 0);
        vm.stopPrank();
        bytes memory notAgent =
            abi.encodeWithSignature("NotDocumentAgent(address,address)", address(token), address(alice));
        vm.startPrank(alice);
        vm.expectRevert(notAgent);
        s.documents.setDocument(address(token), "x", "y", 0);
        vm.expectRevert(notAgent);
        s.documents.removeDocument(address(token), "x");
        vm.expectRevert(notAgent);
        s.documents.set(address(token), "x", "y", 0, alice);
        vm.expectRevert(notAgent);
        s.documents.remove(address(token), "x", alice);
        vm.stopPrank();
    }

    // ------------------------------------------------------------ fuzz

    function testFuzz_frozen_is_never_spendable(uint256 balance, uint256 frozen, uint256 amount) public {
        balance = _bound(balance, 0, 1_000_000e6);
        vm.startPrank(agent);
        token.burn(alice, 1000e6, CASE);
        token.mint(alice, balance);
        token.setFrozenTokens(alice, frozen = _bound(frozen, 0, 2_000_000e6));
        vm.stopPrank();
        amount = _bound(amount, 0, 1_000_000e6);
        uint256 free = balance > frozen ? balance - frozen : 0;
        assertEq(token.freeBalanceOf(alice), free);
        bool can = token.canTransfer(alice, bob, amount);
        vm.prank(alice);
        (bool ok,) = address(token).call(abi.encodeCall(token.transfer, (bob, amount)));
        assertTrue(ok == (amount <= free), "transfer iff free");
        assertTrue(can == ok, "canTransfer tells");
    }

    function testFuzz_forced_transfer_keeps_frozen_consistent(uint256 frozen, uint256 amount) public {
        frozen = _bound(frozen, 0, 3000e6);
        amount = _bound(amount, 0, 1000e6);
        vm.startPrank(agent);
        token.setFrozenTokens(alice, frozen);
        uint256 free = token.freeBalanceOf(alice);
        token.forcedTransfer(alice, bob, amount, CASE);
        vm.stopPrank();
        assertEq(token.getFrozenTokens(alice), amount > free ? frozen - (amount - free) : frozen);
        assertEq(token.balanceOf(alice) + token.balanceOf(bob), 1000e6);
    }
}
