// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {MockModule} from "./mocks/Modules.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {Rights} from "../src/lib/Rights.sol";

contract RulesTest is Base {
    address private t;
    ComplianceEngine private e;

    function setUp() public override {
        super.setUp();
        (t, e) = (address(token), s.engine);
        _mint(alice, 1000e6);
    }

    function _setAs(address who, IComplianceEngine.RuleSet memory r) private {
        vm.prank(who);
        e.setRules(t, r);
    }

    function _reason(address from, address to, uint256 amount) private view returns (uint8) {
        return uint8(e.check(t, from, to, amount));
    }

    function _refuses(IComplianceEngine.Reason reason, address from, address to, uint256 amount) private {
        assertEq(_reason(from, to, amount), uint8(reason));
        _expectRefused(reason, from, to, amount);
        _transfer(from, to, amount);
    }

    // ------------------------------------------------------------ the six rules

    function test_identity_rule() public {
        _refuses(IComplianceEngine.Reason.ReceiverNotRegistered, alice, dave, 1);
        vm.prank(kyc);
        e.deleteIdentity(alice);
        _refuses(IComplianceEngine.Reason.SenderNotRegistered, alice, bob, 1);
        assertFalse(e.contains(alice));
        assertEq(e.identity(alice), alice); // still known while it holds
        assertEq(e.holderCount(t), 1);
        vm.prank(kyc);
        e.registerIdentity(alice, alice, DE);
        _transfer(alice, bob, 1000e6);
        vm.prank(kyc);
        e.deleteIdentity(alice);
        assertEq(e.identity(alice), address(0));
        assertEq(e.investorCountry(alice), 0);
    }

    function test_expiry_rule() public {
        _transfer(alice, bob, 1);
        vm.warp(block.timestamp + 365 days - 1);
        _transfer(alice, bob, 1);
        vm.warp(block.timestamp + 1);
        _refuses(IComplianceEngine.Reason.SenderNotAttested, alice, bob, 1);
        _attest(alice, 1, uint32(block.timestamp + 1 days));
        _refuses(IComplianceEngine.Reason.ReceiverNotAttested, alice, bob, 1);
        _attest(bob, 1, uint32(block.timestamp + 1 days));
        _transfer(alice, bob, 1);
    }

    function test_sender_may_leave_lapsed_when_the_rule_says_so() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.senderAttested = false;
        _setAs(timelock, r);
        vm.warp(block.timestamp + 366 days);
        _attest(bob, 1, uint32(block.timestamp + 1 days));
        assertTrue(e.canSend(t, alice));
        _transfer(alice, bob, 1);
        _setAs(agent, _rules());
        assertFalse(e.canSend(t, alice));
    }

    function test_country_rule() public {
        vm.prank(kyc);
        e.updateCountry(bob, KP);
        _refuses(IComplianceEngine.Reason.CountryRefused, alice, bob, 1);
        assertFalse(e.canReceive(t, bob));
        assertTrue(policy.isVerified(bob), "verified is about identity");
        IComplianceEngine.RuleSet memory r = _rules();
        r.countryMode = IComplianceEngine.CountryMode.Block; // DE and FR are now blocked
        _setAs(timelock, r);
        _transfer(alice, bob, 1);
        _refuses(IComplianceEngine.Reason.CountryRefused, alice, carol, 1);
        r.countryMode = IComplianceEngine.CountryMode.Any;
        _setAs(timelock, r);
        _transfer(alice, carol, 1);
    }

    function test_max_balance_rule() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.maxBalance = 100;
        _setAs(agent, r);
        _transfer(alice, bob, 100);
        _refuses(IComplianceEngine.Reason.MaxBalanceExceeded, alice, bob, 1);
        vm.prank(agent);
        _expectRefused(IComplianceEngine.Reason.MaxBalanceExceeded, address(0), bob, 1);
        token.mint(bob, 1);
    }

    function test_max_balance_counts_all_wallets_of_an_identity() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.maxBalance = 100;
        _setAs(agent, r);
        address bob2 = address(0xB0B2);
        vm.prank(kyc);
        e.registerIdentity(bob2, bob, DE);
        _transfer(alice, bob, 60);
        _refuses(IComplianceEngine.Reason.MaxBalanceExceeded, alice, bob2, 41);
        _transfer(alice, bob2, 40);
        _refuses(IComplianceEngine.Reason.MaxBalanceExceeded, alice, bob, 1);
        _transfer(bob, bob2, 60); // between own wallets nothing changes
        assertEq(e.holderCount(t), 2);
        assertEq(e.holdingWallets(bob).length, 1);
        _transfer(bob2, bob, 10);
        assertEq(e.holdingWallets(bob).length, 2);
        _transfer(bob2, carol, 90);
        assertEq(e.holderCount(t), 3);
        _transfer(bob, carol, 10);
        assertEq(e.holderCount(t), 2);
        assertEq(e.holdingWallets(bob).length, 0);
    }

    function test_lockup_of_mints() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.lockupSecs = 1 days;
        _setAs(agent, r);
        _mint(alice, 50);
        (uint256 amount, uint64 until) = e.lockOf(t, alice);
        assertEq(amount, 50);
        assertEq(until, block.timestamp + 1 days);
        _transfer(alice, bob, 1000e6);
        _refuses(IComplianceEngine.Reason.Locked, alice, bob, 1);
        vm.warp(block.timestamp + 12 hours);
        _mint(alice, 7);
        (amount, until) = e.lockOf(t, alice);
        assertEq(amount, 57);
        assertEq(until, block.timestamp + 1 days);
        vm.warp(until);
        _transfer(alice, bob, 57);
        _mint(alice, 3);
        (amount,) = e.lockOf(t, alice);
        assertEq(amount, 3);
        r.lockupSecs = 0;
        _setAs(timelock, r);
        _refuses(IComplianceEngine.Reason.Locked, alice, bob, 1); // running locks stay
    }

    function test_locks_tighten_by_agent_and_loosen_by_owner() public {
        uint64 until = uint64(block.timestamp + 10 days);
        vm.startPrank(agent);
        e.lock(t, alice, 900e6, until);
        e.lock(t, alice, 950e6, until + 1);
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.lock(t, alice, 949e6, until + 1);
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.lock(t, alice, 950e6, until);
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.lock(t, bob, 1, uint64(block.timestamp));
        vm.expectRevert(IComplianceEngine.InvalidLock.selector);
        e.lock(t, bob, 1 << 128, until);
        vm.stopPrank();
        _refuses(IComplianceEngine.Reason.Locked, alice, bob, 51e6);
        vm.prank(timelock);
        e.lock(t, alice, 0, 0);
        _transfer(alice, bob, 1000e6);
        _expectMissing(alice, Rights.RULES);
        vm.prank(alice);
        e.lock(t, alice, 0, 0);
        vm.warp(until + 2);
        vm.prank(agent); // an expired lock does not bind the next
        e.lock(t, alice, 1, uint64(block.timestamp + 1));
    }

    function test_lock_amounts_saturate() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.lockupSecs = 1 days;
        r.maxBalance = 0;
        _setAs(timelock, r);
        vm.prank(agent);
        e.lock(t, alice, type(uint128).max, uint64(block.timestamp + 5 days));
        _mint(alice, 5);
        (uint256 amount, uint64 until) = e.lockOf(t, alice);
        assertEq(amount, type(uint128).max);
        assertEq(until, block.timestamp + 5 days);
    }

    function test_holder_cap_rule() public {
        IComplianceEngine.RuleSet memory r = _rules();
        r.holderCap = 2;
        _setAs(agent, r);
        _transfer(alice, bob, 500e6);
        _refuses(IComplianceEngine.Reason.HolderCapReached, alice, carol, 1);
        _transfer(bob, carol, 500e6); // bob leaves, carol takes the place
        assertEq(e.holderCount(t), 2);
        r.holderCap = 1;
        _setAs(agent, r);
        _onboard(dave, DE);
        _refuses(IComplianceEngine.Reason.HolderCapReached, carol, dave, 500e6); // above the cap nobody new comes in
        _transfer(carol, alice, 500e6);
        assertEq(e.holderCount(t), 1);
        _transfer(alice, dave, 1000e6);
    }

    // ------------------------------------------------------------ who may change rules

    function test_only_the_owner_loosens() public {
        IComplianceEngine.RuleSet[] memory looser = new IComplianceEngine.RuleSet[](10);
        IComplianceEngine.RuleSet memory base = _rules();
        base.lockupSecs = 10;
        _setAs(agent, base);
        for (uint256 k = 0; k < looser.length; ++k) {
            looser[k] = _rules();
            looser[k].lockupSecs = 10;
        }
        looser[0].maxBalance = 0;
        looser[1].maxBalance = base.maxBalance + 1;
        looser[2].holderCap = 0;
        looser[3].holderCap = base.holderCap + 1;
        looser[4].requiredTopics = 0;
        looser[5].requiredTopics = 1 << 2;
        looser[6].lockupSecs = 9;
        looser[7].countryMode = IComplianceEngine.CountryMode.Any;
        looser[8].countryMode = IComplianceEngine.CountryMode.Block;
        looser[9].senderAttested = false;
        for (uint256 k = 0; k < looser.length; ++k) {
            vm.prank(agent);
            vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
            e.setRules(t, looser[k]);
        }
        for (uint256 k = 0; k < looser.length; ++k) {
            _setAs(timelock, looser[k]);
            _setAs(timelock, base);
        }
        IComplianceEngine.RuleSet memory open;
        _setAs(timelock, open);
        _setAs(agent, base); // from nothing everything is tighter
        assertEq(e.rulesOf(t).maxBalance, base.maxBalance);
        assertEq(uint8(e.rulesOf(t).countryMode), 1);
        open.countryMode = IComplianceEngine.CountryMode.Block;
        _setAs(timelock, open);
        assertEq(uint8(e.rulesOf(t).countryMode), 2);
        _expectMissing(alice, Rights.RULES);
        _setAs(alice, base);
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenNotBound.selector, address(usd)));
        e.setRules(address(usd), base);
    }

    function test_country_lists() public {
        uint16[] memory de = _countries(DE);
        vm.startPrank(agent);
        e.setCountries(t, de, false); // shorter allow list: tighter
        assertFalse(e.isCountryListed(t, DE));
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.setCountries(t, de, true);
        vm.stopPrank();
        vm.startPrank(timelock);
        e.setCountries(t, de, true);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidCountry.selector, 1000));
        e.setCountries(t, _countries(1000), true);
        IComplianceEngine.RuleSet memory r = _rules();
        r.countryMode = IComplianceEngine.CountryMode.Block;
        e.setRules(t, r);
        vm.stopPrank();
        vm.startPrank(agent);
        e.setCountries(t, _countries(KP), true); // longer block list: tighter
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.setCountries(t, _countries(KP), false);
        vm.stopPrank();
    }

    // ------------------------------------------------------------ modules

    function test_modules() public {
        MockModule module = new MockModule();
        vm.prank(agent);
        vm.expectRevert(IComplianceEngine.LooseningNeedsOwner.selector);
        e.addModule(t, address(module));
        vm.startPrank(timelock);
        e.addModule(t, address(module));
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidModule.selector, address(module)));
        e.addModule(t, address(module));
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidModule.selector, alice));
        e.addModule(t, alice);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidModule.selector, alice));
        e.removeModule(t, alice);
        vm.stopPrank();
        assertEq(e.modulesOf(t)[0], address(module));
        _transfer(alice, bob, 5);
        _mint(alice, 5);
        assertEq(module.calls(), 2);
        module.set(true, false);
        _refuses(IComplianceEngine.Reason.ModuleRefused, alice, bob, 5);
        vm.startPrank(agent);
        token.forcedTransfer(alice, bob, 1, CASE); // a court order does not ask the module
        token.burn(bob, 1, CASE);
        assertEq(module.forcedCalls(), 2);
        module.set(false, true);
        vm.expectEmit(address(e));
        emit IComplianceEngine.ModuleFailed(t, address(module));
        token.forcedTransfer(alice, bob, 1, CASE);
        vm.stopPrank();
        vm.prank(kyc);
        e.registerIdentity(dave, alice, DE);
        vm.prank(agent);
        token.recoveryAddress(alice, dave, alice, CASE);
        _expectBroken();
        _transfer(dave, bob, 1);
        _setAs(agent, _rules()); // rules keep the module
        assertEq(e.modulesOf(t).length, 1);
        vm.prank(timelock);
        e.removeModule(t, address(module));
        _transfer(dave, bob, 1);
        vm.startPrank(timelock);
        for (uint256 k = 0; k < 8; ++k) {
            e.addModule(t, address(new MockModule()));
        }
        MockModule last = new MockModule();
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TooMany.selector, 8));
        e.addModule(t, address(last));
        e.removeModule(t, e.modulesOf(t)[0]);
        vm.stopPrank();
        assertEq(e.modulesOf(t).length, 7);
        _transfer(dave, bob, 1);
    }

    function _expectBroken() private {
        vm.expectRevert(bytes(abi.encodeWithSignature("Error(string)", "broken")));
    }

    // ------------------------------------------------------------ binding

    function test_binding() public {
        IComplianceEngine.RuleSet memory r = _rules();
        uint16[] memory none = new uint16[](0);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenAlreadyBound.selector, t));
        e.bindToken(t, r, none);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenHasSupply.selector, t, 1000e6));
        e.unbindToken(t);
        vm.stopPrank();
        usd.mint(alice, 5);
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenHasSupply.selector, address(usd), 5));
        e.bindToken(address(usd), r, none);
        _expectMissing(alice, Rights.BIND);
        vm.prank(alice);
        e.bindToken(address(usd), r, none);
        MockModule module = new MockModule();
        vm.prank(timelock);
        e.addModule(t, address(module));
        vm.prank(agent);
        token.burn(alice, 1000e6, CASE);
        vm.prank(timelock);
        e.unbindToken(t);
        assertEq(_reason(alice, bob, 1), uint8(IComplianceEngine.Reason.TokenNotBound));
        assertFalse(policy.isTokenBound(t));
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TokenNotBound.selector, t));
        e.unbindToken(t);
        vm.prank(timelock);
        e.bindToken(t, r, _countries(DE));
        _mint(alice, 1);
        assertEq(module.calls(), 1); // modules come back with the token
    }

    function test_only_bound_tokens_book() public {
        bytes memory notBound = abi.encodeWithSelector(IComplianceEngine.TokenNotBound.selector, address(this));
        vm.expectRevert(notBound);
        e.onTransfer(alice, bob, 1, 1, 0);
        vm.expectRevert(notBound);
        e.onForced(alice, bob, 1, 1, 0);
        vm.expectRevert(notBound);
        e.onMint(bob, 1, 0);
        vm.expectRevert(notBound);
        e.onBurn(alice, 1, 1);
        vm.expectRevert(notBound);
        e.onRecovery(alice, bob, alice, 1, 0);
    }

    function test_check_of_mints_and_burns() public view {
        assertEq(_reason(address(0), bob, 1), 0);
        assertEq(_reason(alice, address(0), 1), 0);
        assertEq(_reason(address(0), dave, 1), uint8(IComplianceEngine.Reason.ReceiverNotRegistered));
    }

    // ------------------------------------------------------------ fuzz: the short way never allows what check refuses

    struct World {
        uint256 balance;
        uint256 amount;
        uint256 max;
        uint32 cap;
        uint16 country;
        uint8 topics;
        uint256 expiresA;
        uint256 expiresB;
        uint256 lock;
        bool sender;
        bool removed;
        bool secondWallet;
        bool ownIdentity;
        uint8 mode;
    }

    function testFuzz_short_way_agrees_with_check(World memory w) public {
        w.balance = _bound(w.balance, 1, 1000e6);
        w.amount = _bound(w.amount, 0, 1001e6);
        address to = w.ownIdentity ? bob : address(0xB0B3);
        if (!w.ownIdentity) {
            vm.prank(kyc);
            e.registerIdentity(to, address(0x1D), DE);
            _attest(address(0x1D), 1, uint32(block.timestamp + 1000));
        }
        if (w.balance > 1) _transfer(alice, to, w.balance / 2);
        if (w.secondWallet && !w.ownIdentity) {
            vm.prank(kyc);
            e.registerIdentity(address(0xB0B4), address(0x1D), DE);
            if (token.balanceOf(alice) > 9) _transfer(alice, address(0xB0B4), 9);
        }
        IComplianceEngine.RuleSet memory r = _rules();
        r.maxBalance = w.max % 3 == 0 ? 0 : uint128(_bound(w.max, 1, 2000e6));
        r.holderCap = w.cap % 5;
        r.requiredTopics = w.topics % 3 == 0 ? 0 : w.topics % 3 == 1 ? KYC_TOPIC : KYC_TOPIC | 4;
        r.senderAttested = w.sender;
        r.countryMode = IComplianceEngine.CountryMode(w.mode % 3);
        _setAs(timelock, r);
        vm.prank(kyc);
        e.updateCountry(to, w.country % 2 == 0 ? DE : w.country % 1000);
        if (w.lock % 2 == 0) {
            vm.prank(agent);
            e.lock(t, alice, _bound(w.lock, 0, 1000e6), uint64(block.timestamp + 500));
        }
        if (w.removed) {
            vm.prank(kyc);
            e.deleteIdentity(w.expiresA % 2 == 0 ? alice : to);
        }
        vm.warp(block.timestamp + _bound(w.expiresB, 0, 1200));
        bool allowed = e.check(t, alice, to, w.amount) == IComplianceEngine.Reason.None;
        bool enough = token.balanceOf(alice) >= w.amount;
        vm.prank(alice);
        (bool ok,) = t.call(abi.encodeCall(RwaToken.transfer, (to, w.amount)));
        assertTrue(ok == (allowed && enough), "transfer iff check");
    }
}
