// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {Vm} from "../script/Vm.sol";
import {TokenPolicyView} from "../src/TokenPolicyView.sol";
import {IAgentRole} from "../src/interfaces/IAgentRights.sol";
import {IERC3643, IERC3643Compliance, IERC3643IdentityRegistry, IERC3643Trust} from "../src/interfaces/IERC3643.sol";

/// @notice The interfaces and events of the text of ERC-3643, written down here from the standard and not taken from
/// src/, so that a slip there is found. `tools/erc3643.mjs` decodes the same events on a chain with a third-party decoder.
contract Erc3643Test is Base {
    struct Expected {
        bytes32 topic0;
        uint256 topics; // including topic0
        bool seen;
    }

    mapping(bytes32 topic0 => Expected) private expected;

    function _expect(string memory signature, uint256 indexed_) private {
        bytes32 t = keccak256(bytes(signature));
        expected[t] = Expected(t, 1 + indexed_, false);
    }

    function _expectAll() private {
        _expect("UpdatedTokenInformation(string,string,uint8,string,address)", 0);
        _expect("IdentityRegistryAdded(address)", 1);
        _expect("ComplianceAdded(address)", 1);
        _expect("RecoverySuccess(address,address,address)", 0);
        _expect("AddressFrozen(address,bool,address)", 3);
        _expect("TokensFrozen(address,uint256)", 1);
        _expect("TokensUnfrozen(address,uint256)", 1);
        _expect("Paused(address)", 0);
        _expect("Unpaused(address)", 0);
        _expect("Transfer(address,address,uint256)", 2);
        _expect("Approval(address,address,uint256)", 2);
        _expect("AgentAdded(address)", 1);
        _expect("AgentRemoved(address)", 1);
        _expect("OwnershipTransferred(address,address)", 2);
        _expect("ClaimTopicsRegistrySet(address)", 1);
        _expect("IdentityStorageSet(address)", 1);
        _expect("TrustedIssuersRegistrySet(address)", 1);
        _expect("IdentityRegistered(address,address)", 2);
        _expect("IdentityRemoved(address,address)", 2);
        _expect("IdentityUpdated(address,address)", 2);
        _expect("CountryUpdated(address,uint16)", 2);
        _expect("IdentityStored(address,address)", 2);
        _expect("IdentityUnstored(address,address)", 2);
        _expect("TokenBound(address)", 0);
        _expect("TokenUnbound(address)", 0);
        _expect("TrustedIssuerAdded(address,uint256[])", 1);
        _expect("TrustedIssuerRemoved(address)", 1);
        _expect("ClaimTopicsUpdated(address,uint256[])", 1);
    }

    /// Goes through the whole interface of the standard on a new token, by selector of the standard.
    function test_token_answers_the_whole_interface_and_emits_its_events() public {
        _expectAll();
        vm.recordLogs();
        (token, policy) = _newToken("Second Bond", "salt-2");
        address t = address(token);
        vm.prank(agent);
        token.openCase(CASE); // the one thing an ERC-3643 tool's agent does first: name the case
        _ownerCalls(t);
        _agentCalls(t);
        _holderCalls(t);
        _registryCalls();
        _readCalls(t);
        _checkLogs();
    }

    function _call(address who, address to, string memory signature, bytes memory args) private returns (bytes memory) {
        vm.prank(who);
        (bool ok, bytes memory data) = to.call(abi.encodePacked(bytes4(keccak256(bytes(signature))), args));
        assertTrue(ok, signature);
        return data;
    }

    function _ownerCalls(address t) private {
        _call(timelock, t, "setName(string)", abi.encode("Renamed"));
        _call(timelock, t, "setSymbol(string)", abi.encode("REN"));
        _call(timelock, t, "setOnchainID(address)", abi.encode(address(1)));
        _call(timelock, t, "addAgent(address)", abi.encode(dave));
        _call(timelock, t, "removeAgent(address)", abi.encode(dave));
        address v = _view();
        _call(timelock, t, "setIdentityRegistry(address)", abi.encode(v));
        v = _view();
        _call(timelock, t, "setCompliance(address)", abi.encode(v));
        policy = TokenPolicyView(v);
    }

    uint256 private views;

    function _view() private returns (address made) {
        (bool ok, bytes memory data) = address(this).call(abi.encodeCall(this.cloneView, (++views)));
        assertTrue(ok);
        made = abi.decode(data, (address));
    }

    function cloneView(uint256 salt) external returns (address made) {
        bytes memory args = abi.encode(address(token), address(s.engine));
        bytes memory code = abi.encodePacked(
            hex"61",
            uint16(args.length + 0x2d),
            hex"3d81600a3d39f3363d3d373d3d3d363d73",
            s.policyImplementation,
            hex"5af43d82803e903d91602b57fd5bf3",
            args
        );
        assembly {
            made := create2(0, add(code, 0x20), mload(code), salt)
        }
    }

    function _agentCalls(address t) private {
        address[] memory ab = _list(alice, bob);
        bool[] memory flags = new bool[](2);
        _call(agent, t, "mint(address,uint256)", abi.encode(alice, 1000));
        _call(agent, t, "batchMint(address[],uint256[])", abi.encode(ab, _list(1000, 1000)));
        _call(agent, t, "burn(address,uint256)", abi.encode(alice, 1));
        _call(agent, t, "batchBurn(address[],uint256[])", abi.encode(ab, _list(1, 1)));
        _call(agent, t, "pause()", "");
        _call(agent, t, "unpause()", "");
        _call(agent, t, "setAddressFrozen(address,bool)", abi.encode(alice, false));
        _call(agent, t, "batchSetAddressFrozen(address[],bool[])", abi.encode(ab, flags));
        _call(agent, t, "freezePartialTokens(address,uint256)", abi.encode(alice, 5));
        _call(agent, t, "batchFreezePartialTokens(address[],uint256[])", abi.encode(ab, _list(5, 5)));
        _call(agent, t, "unfreezePartialTokens(address,uint256)", abi.encode(alice, 5));
        _call(agent, t, "batchUnfreezePartialTokens(address[],uint256[])", abi.encode(ab, _list(5, 5)));
        _call(agent, t, "forcedTransfer(address,address,uint256)", abi.encode(alice, bob, 5));
        _call(
            agent,
            t,
            "batchForcedTransfer(address[],address[],uint256[])",
            abi.encode(ab, _list(bob, alice), _list(1, 1))
        );
    }

    function _holderCalls(address t) private {
        _call(alice, t, "transfer(address,uint256)", abi.encode(bob, 5));
        _call(alice, t, "approve(address,uint256)", abi.encode(bob, 5));
        _call(bob, t, "transferFrom(address,address,uint256)", abi.encode(alice, bob, 5));
        _call(alice, t, "batchTransfer(address[],uint256[])", abi.encode(_list(bob, carol), _list(1, 1)));
        _call(timelock, t, "transferOwnership(address)", abi.encode(dave));
        _call(dave, t, "acceptOwnership()", "");
    }

    function _registryCalls() private {
        address e = address(s.engine);
        address next = address(0x2E42);
        _call(kyc, e, "registerIdentity(address,address,uint16)", abi.encode(next, alice, DE));
        _call(agent, address(token), "recoveryAddress(address,address,address)", abi.encode(alice, next, alice));
        _call(kyc, e, "updateCountry(address,uint16)", abi.encode(alice, FR));
        _call(kyc, e, "updateIdentity(address,address)", abi.encode(carol2(), address(0x1D)));
        _call(kyc, e, "deleteIdentity(address)", abi.encode(alice));
        _call(timelock, e, "addTrustedIssuer(address,uint256[])", abi.encode(dave, _list(1)));
        _call(timelock, e, "updateIssuerClaimTopics(address,uint256[])", abi.encode(dave, _list(1, 2)));
        _call(timelock, e, "removeTrustedIssuer(address)", abi.encode(dave));
    }

    function carol2() private returns (address w) {
        w = address(0xCA402);
        _call(
            kyc,
            address(s.engine),
            "batchRegisterIdentity(address[],address[],uint16[])",
            abi.encode(_list(w), _list(w), _countries(DE))
        );
    }

    function _readCalls(address t) private {
        IERC3643 i = IERC3643(t);
        assertEq(i.onchainID(), address(1));
        assertEq(i.version(), "1.0.0");
        assertTrue(i.identityRegistry() == address(policy) && i.compliance() == address(policy));
        assertFalse(i.paused());
        assertTrue(i.isFrozen(alice));
        assertEq(i.getFrozenTokens(bob), 0);
        assertTrue(IAgentRole(t).isAgent(agent));
        IERC3643IdentityRegistry r = IERC3643IdentityRegistry(i.identityRegistry());
        assertEq(r.identityStorage(), address(s.engine));
        assertEq(r.issuersRegistry(), address(policy));
        assertEq(r.topicsRegistry(), address(policy));
        assertTrue(r.contains(bob) && r.isVerified(bob) && !r.contains(alice));
        assertEq(r.identity(bob), bob);
        assertEq(r.investorCountry(bob), DE);
        _complianceReads(IERC3643Compliance(i.compliance()), t);
        _trustReads(IERC3643Trust(r.issuersRegistry()));
    }

    function _complianceReads(IERC3643Compliance c, address t) private {
        assertTrue(c.isTokenBound(t) && !c.isTokenBound(alice));
        assertEq(c.getTokenBound(), t);
        assertTrue(c.canTransfer(bob, carol, 1) && !c.canTransfer(bob, alice, 1));
        bytes memory useEngine = abi.encodeWithSelector(TokenPolicyView.UseEngine.selector, address(s.engine));
        vm.expectRevert(useEngine);
        c.transferred(bob, carol, 1);
        vm.expectRevert(useEngine);
        c.created(bob, 1);
        vm.expectRevert(useEngine);
        c.destroyed(bob, 1);
        vm.expectRevert(useEngine);
        policy.registerIdentity(bob, bob, 1);
        vm.expectRevert(abi.encodeWithSelector(TokenPolicyView.NotToken.selector, address(this)));
        c.bindToken(t);
        vm.expectRevert(abi.encodeWithSelector(TokenPolicyView.NotToken.selector, address(this)));
        c.unbindToken(t);
        vm.prank(t);
        vm.expectRevert(abi.encodeWithSelector(TokenPolicyView.NotToken.selector, t));
        c.bindToken(alice);
        vm.prank(t);
        vm.expectRevert(abi.encodeWithSelector(TokenPolicyView.NotToken.selector, t));
        c.unbindToken(alice);
    }

    function _trustReads(IERC3643Trust i) private view {
        assertEq(i.getTrustedIssuers()[0], issuer);
        assertTrue(i.isTrustedIssuer(issuer) && !i.isTrustedIssuer(dave));
        assertEq(i.getTrustedIssuerClaimTopics(issuer).length, 2);
        assertEq(i.getTrustedIssuerClaimTopics(issuer)[1], 2);
        assertEq(i.getTrustedIssuersForClaimTopic(1)[0], issuer);
        assertEq(i.getTrustedIssuersForClaimTopic(9).length, 0);
        assertTrue(i.hasClaimTopic(issuer, 1) && !i.hasClaimTopic(issuer, 3) && !i.hasClaimTopic(issuer, 300));
        assertEq(i.getClaimTopics().length, 1);
        assertEq(i.getClaimTopics()[0], 1);
    }

    function _checkLogs() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 k = 0; k < logs.length; ++k) {
            Expected storage e = expected[logs[k].topics[0]];
            if (e.topics == 0) continue;
            assertEq(logs[k].topics.length, e.topics, "indexed fields as in the standard");
            e.seen = true;
        }
        string[28] memory all = [
            "UpdatedTokenInformation(string,string,uint8,string,address)",
            "IdentityRegistryAdded(address)",
            "ComplianceAdded(address)",
            "RecoverySuccess(address,address,address)",
            "AddressFrozen(address,bool,address)",
            "TokensFrozen(address,uint256)",
            "TokensUnfrozen(address,uint256)",
            "Paused(address)",
            "Unpaused(address)",
            "Transfer(address,address,uint256)",
            "Approval(address,address,uint256)",
            "AgentAdded(address)",
            "AgentRemoved(address)",
            "OwnershipTransferred(address,address)",
            "ClaimTopicsRegistrySet(address)",
            "IdentityStorageSet(address)",
            "TrustedIssuersRegistrySet(address)",
            "IdentityRegistered(address,address)",
            "IdentityRemoved(address,address)",
            "IdentityUpdated(address,address)",
            "CountryUpdated(address,uint16)",
            "IdentityStored(address,address)",
            "IdentityUnstored(address,address)",
            "TokenBound(address)",
            "TokenUnbound(address)",
            "TrustedIssuerAdded(address,uint256[])",
            "TrustedIssuerRemoved(address)",
            "ClaimTopicsUpdated(address,uint256[])"
        ];
        for (uint256 k = 0; k < all.length; ++k) {
            assertTrue(expected[keccak256(bytes(all[k]))].seen, all[k]);
        }
    }
}
