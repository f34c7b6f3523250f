// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {Base} from "./Base.sol";
import {RwaTokenV2} from "./mocks/RwaTokenV2.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {DvpSettlement} from "../src/DvpSettlement.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {Rights} from "../src/lib/Rights.sol";

/// @notice A real Safe 1.5 (2 of 3) before a real timelock before the suite, and versions, factory, upgrades.
contract GovernanceTest is Base {
    function _safeExec(address to, bytes memory data) private returns (bool) {
        return this.safeExec(to, data, _signatures(to, data, 2));
    }

    function safeExec(address to, bytes memory data, bytes memory signatures) external returns (bool) {
        return s.safe.execTransaction(to, 0, data, 0, 0, 0, 0, address(0), payable(address(0)), signatures);
    }

    /// @dev The Safe wants signatures in ascending order of signers.
    function _signatures(address to, bytes memory data, uint256 count) private view returns (bytes memory all) {
        bytes32 hash = s.safe.getTransactionHash(to, 0, data, 0, 0, 0, 0, address(0), address(0), s.safe.nonce());
        uint256[] memory keys = new uint256[](3);
        for (uint256 k = 0; k < 3; ++k) {
            keys[k] = _ownerKey(k + 1);
        }
        for (uint256 a = 0; a < 3; ++a) {
            for (uint256 b = a + 1; b < 3; ++b) {
                if (vm.addr(keys[b]) < vm.addr(keys[a])) (keys[a], keys[b]) = (keys[b], keys[a]);
            }
        }
        for (uint256 k = 0; k < count; ++k) {
            all = bytes.concat(all, _sign(keys[k], hash));
        }
    }

    function _schedule(address to, bytes memory data) private view returns (bytes memory) {
        return abi.encodeCall(TimelockController.schedule, (to, 0, data, bytes32(0), bytes32(0), plan.delaySecs));
    }

    function _v2() private returns (address) {
        return address(new RwaTokenV2(s.versions, s.documents));
    }

    function _listVersion(address v2) private {
        vm.prank(timelock);
        s.versions.add(keccak256("RwaToken"), v2, "2.0.0");
    }

    function test_safe_timelock_upgrade_with_live_state() public {
        _mint(alice, 1000e6);
        vm.prank(alice);
        token.approve(bob, 77);
        vm.startPrank(agent);
        token.freezePartialTokens(alice, 5e6);
        token.setAddressFrozen(bob, true);
        token.openCase(CASE);
        token.setDocument("terms", "ipfs://x", keccak256("x"));
        token.pause();
        vm.stopPrank();
        address v2 = _v2();
        _listVersion(v2);
        bytes memory upgrade = abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (v2, ""));
        assertTrue(_safeExec(timelock, _schedule(address(token), upgrade)));
        vm.expectRevert(); // not due yet
        s.timelock.execute(address(token), 0, upgrade, bytes32(0), bytes32(0));
        vm.warp(block.timestamp + plan.delaySecs);
        s.timelock.execute(address(token), 0, upgrade, bytes32(0), bytes32(0)); // anyone, once due
        assertTrue(RwaTokenV2(address(token)).isSecondVersion());
        assertEq(token.balanceOf(alice), 1000e6);
        assertEq(token.totalSupply(), 1000e6);
        assertEq(token.allowance(alice, bob), 77);
        assertEq(token.getFrozenTokens(alice), 5e6);
        assertTrue(token.isFrozen(bob) && token.paused());
        assertEq(token.openCaseOf(agent), CASE);
        assertEq(token.owner(), timelock);
        assertEq(token.rightsOf(agent), AGENT_RIGHTS);
        assertEq(token.compliance(), address(policy));
        assertEq(token.name(), "ACME Bond");
        assertEq(token.getAllDocuments().length, 1);
        assertEq(s.engine.holderCount(address(token)), 1);
        vm.prank(agent);
        token.unpause();
        _transfer(alice, carol, 995e6);
    }

    function test_shortcuts_are_refused() public {
        address v2 = _v2();
        bytes memory upgrade = abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (v2, ""));
        // one signature is not enough
        bytes memory call = _schedule(address(token), upgrade);
        bytes memory one = _signatures(timelock, call, 1);
        vm.expectRevert();
        this.safeExec(timelock, call, one);
        // the Safe itself owns nothing
        bytes memory two = _signatures(address(token), upgrade, 2);
        vm.expectRevert();
        this.safeExec(address(token), upgrade, two);
        // a shorter delay is refused
        call = abi.encodeCall(
            TimelockController.schedule, (address(token), 0, upgrade, bytes32(0), bytes32(0), plan.delaySecs - 1)
        );
        two = _signatures(timelock, call, 2);
        vm.expectRevert();
        this.safeExec(timelock, call, two);
        // the deployer can neither propose nor upgrade
        vm.expectRevert();
        s.timelock.schedule(address(token), 0, upgrade, bytes32(0), bytes32(0), plan.delaySecs);
        _expectNotOwner(address(this));
        token.upgradeToAndCall(v2, "");
        _expectNotOwner(agent);
        vm.prank(agent);
        token.upgradeToAndCall(v2, "");
        // even the timelock cannot install what the registry does not list
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", keccak256("RwaToken"), v2));
        vm.prank(timelock);
        token.upgradeToAndCall(v2, "");
    }

    function test_safe_cancels_what_is_queued() public {
        bytes memory upgrade = abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (_v2(), ""));
        _safeExec(timelock, _schedule(address(token), upgrade));
        bytes32 id = s.timelock.hashOperation(address(token), 0, upgrade, bytes32(0), bytes32(0));
        assertTrue(s.timelock.isOperationPending(id));
        _safeExec(timelock, abi.encodeCall(TimelockController.cancel, (id)));
        vm.warp(block.timestamp + plan.delaySecs);
        vm.expectRevert();
        s.timelock.execute(address(token), 0, upgrade, bytes32(0), bytes32(0));
    }

    function test_every_singleton_upgrades_by_the_owner_only() public {
        ComplianceEngine engine2 = new ComplianceEngine(s.versions);
        _expectNotOwner(kyc);
        vm.prank(kyc);
        s.engine.upgradeToAndCall(address(engine2), "");
        vm.startPrank(timelock);
        s.versions.add(keccak256("ComplianceEngine"), address(engine2), "1.0.1");
        s.engine.upgradeToAndCall(address(engine2), "");
        // an implementation of another kind is not listed for this one
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", s.dvp.kind(), address(engine2)));
        s.dvp.upgradeToAndCall(address(engine2), "");
        vm.stopPrank();
        assertTrue(s.engine.contains(alice)); // state kept
        assertTrue(policy.isVerified(alice));
        bytes32[6] memory kinds = [
            s.engine.kind(), s.factory.kind(), s.dvp.kind(), s.offering.kind(), s.distributor.kind(), s.documents.kind()
        ];
        for (uint256 a = 0; a < 6; ++a) {
            for (uint256 b = a + 1; b < 6; ++b) {
                assertTrue(kinds[a] != kinds[b]);
            }
        }
    }

    function test_initialized_once() public {
        bytes memory again = abi.encodeWithSignature("InvalidInitialization()");
        vm.expectRevert(again);
        s.engine.initialize(address(this));
        vm.expectRevert(again);
        s.documents.initialize(address(this));
        vm.expectRevert(again);
        s.offering.initialize(address(this));
        vm.expectRevert(again);
        s.distributor.initialize(address(this));
        vm.expectRevert(again);
        s.dvp.initialize(address(this), 0, address(0));
        vm.expectRevert(again);
        s.factory.initialize(address(this), s.engine, address(0), address(0));
    }

    // ------------------------------------------------------------ agents of the singletons

    function test_default_agents() public {
        vm.startPrank(timelock);
        s.engine.addAgent(dave);
        s.factory.addAgent(dave);
        s.documents.addAgent(dave);
        s.versions.addAgent(dave);
        s.offering.addAgent(dave);
        s.distributor.addAgent(dave);
        vm.stopPrank();
        assertEq(s.engine.rightsOf(dave), Rights.KYC);
        assertEq(s.factory.rightsOf(dave), Rights.DEPLOY);
        assertEq(s.documents.rightsOf(dave), Rights.DOCUMENTS);
        assertEq(s.versions.rightsOf(dave), Rights.REVOKE);
        assertEq(s.offering.rightsOf(dave) + s.distributor.rightsOf(dave), 0);
    }

    // ------------------------------------------------------------ versions

    function test_versions() public {
        bytes32 kind = keccak256("RwaToken");
        address v2 = _v2();
        _expectNotOwner(safe);
        vm.prank(safe);
        s.versions.add(kind, v2, "2.0.0");
        _listVersion(v2);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSignature("InvalidVersion(address)", v2));
        s.versions.add(kind, v2, "2.0.0");
        vm.expectRevert(abi.encodeWithSignature("InvalidVersion(address)", dave));
        s.versions.add(kind, dave, "2.0.0");
        vm.stopPrank();
        _expectMissing(agent, Rights.REVOKE);
        vm.prank(agent);
        s.versions.retire(kind, v2);
        vm.prank(safe); // at once
        s.versions.retire(kind, v2);
        assertFalse(s.versions.isListed(kind, v2));
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", kind, v2));
        token.upgradeToAndCall(v2, "");
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", kind, v2));
        s.versions.retire(kind, v2);
        s.versions.retire(kind, s.tokenImplementation);
        vm.stopPrank();
    }

    // ------------------------------------------------------------ factory

    function test_factory_predicts_and_announces() public {
        address predicted = s.factory.predictAddress(address(this), "salt-7");
        TokenFactory.TokenTerms memory terms = _terms("Predicted", "salt-7");
        vm.recordLogs();
        (address made, address view_) = s.factory.deployToken(terms);
        assertEq(made, predicted);
        assertEq(RwaToken(made).compliance(), view_);
        assertEq(RwaToken(made).owner(), timelock);
        assertEq(address(s.factory.engine()), address(s.engine));
        vm.expectRevert(); // the salt is used up
        s.factory.deployToken(terms);
        // the same salt of another deployer is another address
        assertTrue(s.factory.predictAddress(dave, "salt-7") != predicted);
    }

    function test_factory_refusals() public {
        _expectMissing(dave, Rights.DEPLOY);
        vm.prank(dave);
        s.factory.deployToken(_terms("X", "salt-8"));
        TokenFactory.TokenTerms memory t = _terms("X", "salt-8");
        t.owner = address(0);
        vm.expectRevert(TokenFactory.InvalidOwner.selector);
        s.factory.deployToken(t);
        address v2 = _v2();
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", keccak256("RwaToken"), v2));
        s.factory.setImplementations(v2, s.policyImplementation);
        s.versions.add(keccak256("RwaToken"), v2, "2.0.0");
        vm.expectRevert(abi.encodeWithSignature("VersionNotListed(bytes32,address)", keccak256("TokenPolicyView"), v2));
        s.factory.setImplementations(v2, v2);
        s.factory.setImplementations(v2, s.policyImplementation);
        vm.stopPrank();
        (address impl,) = s.factory.implementations();
        assertEq(impl, v2);
        _expectNotOwner(agent);
        vm.prank(agent);
        s.factory.setImplementations(v2, s.policyImplementation);
    }

    function test_rules_loosen_only_through_safe_and_timelock() public {
        IComplianceEngine.RuleSet memory open;
        bytes memory call = abi.encodeCall(s.engine.setRules, (address(token), open));
        bytes memory direct = _signatures(address(s.engine), call, 2);
        vm.expectRevert();
        this.safeExec(address(s.engine), call, direct);
        _safeExec(timelock, _schedule(address(s.engine), call));
        vm.warp(block.timestamp + plan.delaySecs);
        s.timelock.execute(address(s.engine), 0, call, bytes32(0), bytes32(0));
        assertEq(s.engine.rulesOf(address(token)).maxBalance, 0);
    }

    function test_fee_through_timelock() public {
        bytes memory call = abi.encodeCall(DvpSettlement.setFee, (50, address(0xFEE)));
        _safeExec(timelock, _schedule(address(s.dvp), call));
        vm.warp(block.timestamp + plan.delaySecs);
        s.timelock.execute(address(s.dvp), 0, call, bytes32(0), bytes32(0));
        (uint16 bps,) = s.dvp.feeInfo();
        assertEq(bps, 50);
    }
}
