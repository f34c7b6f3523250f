// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {OddUsd} from "./mocks/MockUsd.sol";
import {Distributor} from "../src/Distributor.sol";
import {PrimaryOffering} from "../src/PrimaryOffering.sol";
import {RedemptionQueue} from "../src/RedemptionQueue.sol";
import {HubProxy} from "../src/base/HubProxy.sol";
import {Rights} from "../src/lib/Rights.sol";

contract OfferingTest is Base {
    PrimaryOffering private o;
    address private constant TREASURY = address(0x7EA5);

    function setUp() public override {
        super.setUp();
        o = s.offering;
        vm.prank(timelock);
        token.grantRights(address(o), Rights.SUPPLY);
        _fund(alice);
        _fund(bob);
        _fund(carol);
    }

    function _fund(address who) private {
        usd.mint(who, 10_000e6);
        vm.prank(who);
        usd.approve(address(o), type(uint256).max);
    }

    function _offer() private view returns (PrimaryOffering.Terms memory t) {
        t.token = address(token);
        t.currency = address(usd);
        t.treasury = TREASURY;
        t.price = 2e6;
        t.hardCap = 150e6;
        t.softCap = 100e6;
        t.minTicket = 10e6;
        t.maxTicket = 100e6;
        t.opens = uint64(block.timestamp);
        t.closes = uint64(block.timestamp + 10 days);
    }

    function _open() private returns (uint256 id) {
        vm.prank(agent);
        return o.create(_offer());
    }

    function _subscribe(address who, uint256 id, uint128 tokens) private {
        vm.prank(who);
        o.subscribe(id, tokens, type(uint256).max);
    }

    function _allocate(uint256 id, address who, uint128 tokens) private {
        uint128[] memory amounts = new uint128[](1);
        amounts[0] = tokens;
        vm.prank(agent);
        o.allocate(id, _list(who), amounts);
    }

    function _wrongPhase(uint256 id) private {
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.WrongPhase.selector, id));
    }

    function test_whole_life() public {
        uint256 id = _open();
        assertEq(o.count(), 1);
        _subscribe(alice, id, 50e6);
        _subscribe(alice, id, 50e6);
        _subscribe(bob, id, 100e6); // oversubscribed
        _subscribe(carol, id, 20e6);
        assertEq(usd.balanceOf(address(o)), 440e6);
        assertEq(o.cost(id, 1), 2);
        vm.prank(carol);
        o.unsubscribe(id);
        assertEq(usd.balanceOf(carol), 10_000e6);
        vm.warp(_offer().closes);
        _allocate(id, alice, 90e6);
        _allocate(id, alice, 80e6); // may be corrected
        _allocate(id, bob, 70e6);
        vm.prank(agent);
        o.finalize(id);
        assertEq(usd.balanceOf(TREASURY), 300e6);
        o.claim(id, alice);
        assertEq(token.balanceOf(alice), 80e6);
        assertEq(usd.balanceOf(alice), 10_000e6 - 160e6);
        vm.prank(kyc);
        s.engine.deleteIdentity(bob); // not eligible now: refund at once, tokens later
        vm.expectRevert();
        o.claim(id, bob);
        o.refund(id, bob);
        assertEq(usd.balanceOf(bob), 10_000e6 - 140e6);
        vm.prank(kyc);
        s.engine.registerIdentity(bob, bob, DE);
        o.claim(id, bob);
        assertEq(token.balanceOf(bob), 70e6);
        assertEq(usd.balanceOf(address(o)), 0);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.NothingDue.selector, bob));
        o.claim(id, bob);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.NothingDue.selector, bob));
        o.refund(id, bob);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.NothingDue.selector, carol));
        o.claim(id, carol);
        assertTrue(o.offering(id).state == PrimaryOffering.State.Finalized);
        assertTrue(o.subscription(id, bob).minted);
    }

    function test_cancelled_is_refunded() public {
        uint256 id = _open();
        _subscribe(alice, id, 50e6);
        _wrongPhase(id);
        o.refund(id, alice);
        _wrongPhase(id);
        o.claim(id, alice);
        vm.prank(agent);
        o.cancel(id);
        o.refund(id, alice);
        assertEq(usd.balanceOf(alice), 10_000e6);
        _wrongPhase(id);
        _subscribe(alice, id, 50e6);
        _wrongPhase(id);
        vm.prank(agent);
        o.finalize(id);
    }

    function test_left_alone_is_refunded() public {
        uint256 id = _open();
        _subscribe(alice, id, 50e6);
        vm.warp(_offer().closes + 30 days + 1);
        _wrongPhase(id);
        vm.prank(agent);
        o.finalize(id);
        o.refund(id, alice);
        assertEq(usd.balanceOf(alice), 10_000e6);
    }

    function test_terms() public {
        PrimaryOffering.Terms[] memory bad = new PrimaryOffering.Terms[](8);
        for (uint256 k = 0; k < bad.length; ++k) {
            bad[k] = _offer();
        }
        bad[0].treasury = address(0);
        bad[1].currency = dave;
        bad[2].price = 0;
        bad[3].hardCap = 0;
        bad[4].softCap = bad[4].hardCap + 1;
        bad[5].closes = bad[5].opens;
        (bad[6].opens, bad[6].closes) = (1, uint64(block.timestamp));
        bad[7].maxTicket = bad[7].minTicket - 1;
        for (uint256 k = 0; k < bad.length; ++k) {
            vm.prank(agent);
            vm.expectRevert(PrimaryOffering.InvalidTerms.selector);
            o.create(bad[k]);
        }
    }

    function test_subscription_refusals() public {
        PrimaryOffering.Terms memory t = _offer();
        t.opens = uint64(block.timestamp + 1);
        vm.prank(agent);
        uint256 id = o.create(t);
        _wrongPhase(id);
        _subscribe(alice, id, 50e6);
        vm.warp(t.opens);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.NotEligible.selector, dave));
        _subscribe(dave, id, 50e6);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.TicketOutOfRange.selector, 9e6));
        _subscribe(alice, id, 9e6);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.TicketOutOfRange.selector, 101e6));
        _subscribe(alice, id, 101e6);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.TicketOutOfRange.selector, 0));
        _subscribe(alice, id, 0);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.PaymentMismatch.selector, 99, 100e6));
        vm.prank(alice);
        o.subscribe(id, 50e6, 99);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.NothingDue.selector, alice));
        vm.prank(alice);
        o.unsubscribe(id);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.UnknownOffering.selector, 99));
        _subscribe(alice, 99, 1);
        vm.warp(t.closes);
        _wrongPhase(id);
        _subscribe(alice, id, 50e6);
        _wrongPhase(id);
        vm.prank(alice);
        o.unsubscribe(id);
    }

    function test_allocation_refusals() public {
        uint256 id = _open();
        _subscribe(alice, id, 100e6);
        _subscribe(bob, id, 100e6);
        _wrongPhase(id);
        _allocate(id, alice, 1);
        vm.warp(_offer().closes);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.AllocationTooHigh.selector, 100e6 + 1, 100e6));
        _allocate(id, alice, 100e6 + 1);
        _allocate(id, alice, 99e6);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.AllocationTooHigh.selector, 199e6, 150e6));
        _allocate(id, bob, 100e6);
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.SoftCapMissed.selector, 99e6, 100e6));
        o.finalize(id);
        vm.prank(agent);
        vm.expectRevert(PrimaryOffering.LengthMismatch.selector);
        o.allocate(id, _list(alice), new uint128[](2));
    }

    function test_only_the_issuer() public {
        uint256 id = _open();
        bytes memory notIssuer = abi.encodeWithSelector(PrimaryOffering.NotIssuer.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(notIssuer);
        o.create(_offer());
        vm.expectRevert(notIssuer);
        o.allocate(id, _list(alice), new uint128[](1));
        vm.expectRevert(notIssuer);
        o.finalize(id);
        vm.expectRevert(notIssuer);
        o.cancel(id);
        vm.stopPrank();
    }

    function test_currency_that_keeps_something_is_refused() public {
        OddUsd odd = new OddUsd();
        odd.mint(alice, 1000e6);
        odd.setKeep(1);
        vm.prank(alice);
        odd.approve(address(o), type(uint256).max);
        PrimaryOffering.Terms memory t = _offer();
        t.currency = address(odd);
        vm.prank(agent);
        uint256 id = o.create(t);
        vm.expectRevert(abi.encodeWithSelector(PrimaryOffering.PaymentMismatch.selector, 100e6, 100e6 - 1));
        _subscribe(alice, id, 50e6);
    }

    /// Whatever is subscribed and allocated: escrow pays exactly treasury and refunds, and nothing stays.
    function testFuzz_escrow_adds_up(uint128 a, uint128 b, uint128 allocA, uint128 allocB, uint256 price) public {
        PrimaryOffering.Terms memory t = _offer();
        t.price = _bound(price, 1, 90e6);
        (t.softCap, t.hardCap) = (1, 200e6);
        vm.prank(agent);
        uint256 id = o.create(t);
        _subscribe(alice, id, a = uint128(_bound(a, 10e6, 100e6)));
        _subscribe(bob, id, b = uint128(_bound(b, 10e6, 100e6)));
        vm.warp(t.closes);
        _allocate(id, alice, allocA = uint128(_bound(allocA, 1, a)));
        _allocate(id, bob, allocB = uint128(_bound(allocB, 0, b)));
        vm.prank(agent);
        o.finalize(id);
        o.claim(id, alice);
        if (allocB != 0) o.claim(id, bob);
        else o.refund(id, bob);
        assertEq(usd.balanceOf(address(o)), 0);
        assertEq(usd.balanceOf(alice) + usd.balanceOf(bob) + usd.balanceOf(TREASURY), 20_000e6);
        assertEq(token.totalSupply(), uint256(allocA) + allocB);
    }
}

contract DistributorTest is Base {
    Distributor private d;
    bytes32 private root;
    bytes32[3] private leaves;

    function setUp() public override {
        super.setUp();
        d = s.distributor;
        usd.mint(agent, 1000e6);
        vm.prank(agent);
        usd.approve(address(d), type(uint256).max);
        leaves[0] = _leaf(0, alice, 60e6);
        leaves[1] = _leaf(1, bob, 30e6);
        leaves[2] = _leaf(2, carol, 10e6);
        root = _pair(_pair(leaves[0], leaves[1]), leaves[2]);
        vm.roll(100);
    }

    function _leaf(uint256 index, address account, uint256 amount) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(index, account, amount))));
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function _payout(uint256 index) private view returns (Distributor.Payout memory p) {
        p.index = index;
        if (index == 2) {
            (p.account, p.amount) = (carol, 10e6);
            p.proof = new bytes32[](1);
            p.proof[0] = _pair(leaves[0], leaves[1]);
            return p;
        }
        (p.account, p.amount) = index == 0 ? (alice, uint256(60e6)) : (bob, uint256(30e6));
        p.proof = new bytes32[](2);
        (p.proof[0], p.proof[1]) = (leaves[1 - index], leaves[2]);
    }

    function _create(address currency, uint256 total) private returns (uint256) {
        uint64 deadline = uint64(block.timestamp + 30 days);
        vm.prank(agent);
        return d.create(address(token), currency, 99, root, total, deadline, "coupon 1");
    }

    function test_claim_once() public {
        uint256 id = _create(address(usd), 100e6);
        assertEq(d.count(), 1);
        d.claim(id, _payout(0)); // anyone may send it; the money goes to the holder
        assertEq(usd.balanceOf(alice), 60e6);
        assertTrue(d.isPaid(id, 0));
        vm.expectRevert(abi.encodeWithSelector(Distributor.AlreadyPaid.selector, id, 0));
        d.claim(id, _payout(0));
        Distributor.Payout memory p = _payout(1);
        p.amount += 1;
        vm.expectRevert(Distributor.InvalidProof.selector);
        d.claim(id, p);
        vm.expectRevert(abi.encodeWithSelector(Distributor.UnknownDistribution.selector, 9));
        d.claim(9, p);
        assertEq(d.distribution(id).paid, 60e6);
    }

    function test_push_goes_on_past_failures() public {
        OddUsd odd = new OddUsd();
        odd.mint(agent, 1000e6);
        vm.prank(agent);
        odd.approve(address(d), type(uint256).max);
        uint256 id = _create(address(odd), 100e6);
        odd.setBlocked(bob);
        vm.prank(agent);
        token.setAddressFrozen(alice, true);
        Distributor.Payout[] memory all = new Distributor.Payout[](3);
        (all[0], all[1], all[2]) = (_payout(0), _payout(1), _payout(2));
        vm.expectEmit(address(d));
        emit Distributor.PayoutFailed(id, alice, 0, 60e6);
        vm.expectEmit(address(d));
        emit Distributor.PayoutFailed(id, bob, 1, 30e6);
        vm.prank(agent);
        d.pushBatch(id, all);
        assertEq(odd.balanceOf(carol), 10e6);
        assertEq(d.distribution(id).paid, 10e6);
        vm.expectRevert(abi.encodeWithSelector(Distributor.AccountFrozen.selector, alice));
        d.claim(id, _payout(0));
        odd.setBlocked(address(0));
        vm.startPrank(agent);
        token.setAddressFrozen(alice, false);
        d.pushBatch(id, all); // the retry pays who is left
        vm.stopPrank();
        assertEq(odd.balanceOf(alice) + odd.balanceOf(bob) + odd.balanceOf(carol), 100e6);
        assertEq(odd.balanceOf(address(d)), 0);
    }

    function test_sweep_after_deadline() public {
        uint256 id = _create(address(usd), 100e6);
        d.claim(id, _payout(2));
        vm.startPrank(agent);
        vm.expectPartialRevert(Distributor.DeadlineNotReached.selector);
        d.sweep(id);
        vm.warp(block.timestamp + 30 days + 1);
        vm.expectPartialRevert(Distributor.DeadlinePassed.selector);
        d.claim(id, _payout(0));
        d.sweep(id);
        assertEq(usd.balanceOf(agent), 990e6);
        vm.expectRevert(Distributor.InvalidDistribution.selector);
        d.sweep(id);
        vm.stopPrank();
    }

    function test_total_is_never_exceeded() public {
        uint256 id = _create(address(usd), 89e6);
        uint256 other = _create(address(usd), 100e6);
        d.claim(id, _payout(0));
        vm.expectRevert(abi.encodeWithSelector(Distributor.TotalExceeded.selector, id));
        d.claim(id, _payout(1));
        assertEq(usd.balanceOf(address(d)), 129e6);
        d.claim(other, _payout(1));
        vm.warp(block.timestamp + 30 days + 1);
        vm.startPrank(agent);
        d.sweep(id);
        d.sweep(other);
        vm.stopPrank();
        assertEq(usd.balanceOf(address(d)), 0);
    }

    function test_refusals() public {
        uint64 deadline = uint64(block.timestamp + 1);
        vm.startPrank(agent);
        vm.expectRevert(Distributor.InvalidDistribution.selector);
        d.create(address(token), address(usd), 100, root, 1, deadline, "");
        vm.expectRevert(Distributor.InvalidDistribution.selector);
        d.create(address(token), address(usd), 99, 0, 1, deadline, "");
        vm.expectRevert(Distributor.InvalidDistribution.selector);
        d.create(address(token), address(usd), 99, root, 0, deadline, "");
        vm.expectRevert(Distributor.InvalidDistribution.selector);
        d.create(address(token), address(usd), 99, root, 1, uint64(block.timestamp), "");
        OddUsd odd = new OddUsd();
        odd.mint(agent, 1000e6);
        odd.setKeep(1);
        odd.approve(address(d), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(Distributor.FundingShort.selector, 9, 10));
        d.create(address(token), address(odd), 99, root, 10, deadline, "");
        vm.stopPrank();
        uint256 id = _create(address(usd), 100e6);
        bytes memory notAgent = abi.encodeWithSelector(Distributor.NotPayoutAgent.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(notAgent);
        d.create(address(token), address(usd), 99, root, 1, deadline, "");
        vm.expectRevert(notAgent);
        d.pushBatch(id, new Distributor.Payout[](0));
        vm.expectRevert(notAgent);
        d.sweep(id);
        vm.stopPrank();
    }
}

contract QueueTest is Base {
    RedemptionQueue private q;

    function setUp() public override {
        super.setUp();
        q = RedemptionQueue(
            address(
                new HubProxy(
                    s.queueImplementation,
                    abi.encodeCall(RedemptionQueue.initialize, (timelock, address(token), address(usd)))
                )
            )
        );
        vm.startPrank(timelock);
        s.engine.setCustody(address(q), true);
        token.grantRights(address(q), Rights.SUPPLY);
        vm.stopPrank();
        _mint(alice, 1000e6);
        vm.prank(alice);
        token.approve(address(q), type(uint256).max);
        usd.mint(agent, 10_000e6);
        vm.prank(agent);
        usd.approve(address(q), type(uint256).max);
    }

    function _request(uint256 shares) private returns (uint256) {
        vm.prank(alice);
        return q.requestRedeem(shares, alice, alice);
    }

    function _fulfil(uint256 id, uint256 price) private {
        vm.prank(agent);
        q.fulfil(_list(id), price, type(uint256).max);
    }

    function test_whole_life() public {
        uint256 id = _request(600e6);
        assertEq(q.pendingRedeemRequest(id, alice), 600e6);
        assertEq(q.pendingRedeemRequest(id, bob), 0);
        assertEq(token.balanceOf(address(q)), 600e6);
        assertEq(s.engine.holderCount(address(token)), 1);
        _fulfil(id, 1.5e6);
        assertEq(token.totalSupply(), 400e6);
        assertEq(q.claimableRedeemRequest(id, alice), 600e6);
        assertEq(q.claimableRedeemRequest(id, bob), 0);
        vm.startPrank(alice);
        assertEq(q.redeem(200e6, carol, alice), 300e6);
        assertEq(usd.balanceOf(carol), 300e6);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.InsufficientClaimable.selector, 401e6, 400e6));
        q.redeem(401e6, alice, alice);
        assertEq(q.redeem(400e6, alice, alice), 600e6);
        vm.stopPrank();
        assertEq(usd.balanceOf(address(q)), 0);
        assertEq(q.openRequests(alice).length, 0);
    }

    function test_cancel_gives_back() public {
        uint256 a = _request(100e6);
        uint256 b = _request(200e6);
        uint256 c = _request(300e6);
        vm.prank(alice);
        q.cancelRedeemRequest(b);
        assertEq(token.balanceOf(alice), 600e6);
        uint256[] memory open = q.openRequests(alice);
        assertEq(open.length, 2);
        assertEq(open[0], a);
        assertEq(open[1], c);
        vm.prank(agent); // the agent may send a request back
        q.cancelRedeemRequest(a);
        _fulfil(c, 1e6);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.UnknownRequest.selector, c));
        vm.prank(alice);
        q.cancelRedeemRequest(c);
        assertEq(q.request(c).assets, 300e6);
    }

    function test_oldest_first_over_several_requests() public {
        uint256 a = _request(100e6);
        uint256 b = _request(100e6);
        uint256 c = _request(100e6);
        _fulfil(a, 1e6);
        _fulfil(c, 3e6);
        vm.prank(alice);
        assertEq(q.redeem(150e6, alice, alice), 100e6 + 150e6);
        assertEq(q.maxRedeem(alice), 50e6);
        assertEq(q.openRequests(alice)[0], b);
        vm.prank(agent);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.UnknownRequest.selector, a));
        q.fulfil(_list(a), 1, 1);
    }

    function test_operators() public {
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.NotAuthorized.selector, bob));
        vm.prank(bob);
        q.requestRedeem(1, alice, alice);
        vm.prank(alice);
        assertTrue(q.setOperator(bob, true));
        assertTrue(q.isOperator(alice, bob));
        vm.startPrank(bob);
        uint256 id = q.requestRedeem(10e6, alice, alice);
        q.cancelRedeemRequest(id);
        id = q.requestRedeem(10e6, bob, alice); // bob may claim
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.NotAuthorized.selector, alice));
        vm.prank(alice);
        q.cancelRedeemRequest(id);
        _fulfil(id, 1e6);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.NotAuthorized.selector, alice));
        vm.prank(alice);
        q.redeem(1, alice, bob);
        vm.prank(bob);
        q.redeem(10e6, bob, bob);
        assertEq(usd.balanceOf(bob), 10e6);
    }

    function test_refusals() public {
        vm.startPrank(alice);
        vm.expectRevert(RedemptionQueue.InvalidAmount.selector);
        q.requestRedeem(0, alice, alice);
        vm.expectRevert(RedemptionQueue.InvalidAddress.selector);
        q.requestRedeem(1, address(0), alice);
        vm.expectRevert(RedemptionQueue.InvalidAmount.selector);
        q.redeem(0, alice, alice);
        vm.expectRevert(RedemptionQueue.InvalidAddress.selector);
        q.redeem(1, address(0), alice);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.NotAuthorized.selector, alice));
        q.fulfil(_list(1), 1, 1);
        uint256 id;
        for (uint256 k = 0; k < 32; ++k) {
            id = q.requestRedeem(1, alice, alice);
        }
        vm.expectRevert(RedemptionQueue.TooManyRequests.selector);
        q.requestRedeem(1, alice, alice);
        vm.stopPrank();
        vm.startPrank(agent);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.AssetsAboveLimit.selector, 2, 1));
        q.fulfil(_list(id), 2e6, 1);
        q.fulfil(_list(id), 2e6, 2);
        token.setAddressFrozen(alice, true);
        vm.stopPrank();
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.AccountFrozen.selector, alice));
        q.redeem(1, alice, alice);
    }

    function test_currency_that_keeps_something_is_refused() public {
        OddUsd odd = new OddUsd();
        RedemptionQueue q2 = RedemptionQueue(
            address(
                new HubProxy(
                    s.queueImplementation,
                    abi.encodeCall(RedemptionQueue.initialize, (timelock, address(token), address(odd)))
                )
            )
        );
        vm.startPrank(timelock);
        s.engine.setCustody(address(q2), true);
        token.grantRights(address(q2), Rights.SUPPLY);
        vm.stopPrank();
        vm.startPrank(alice);
        token.approve(address(q2), 5);
        uint256 id = q2.requestRedeem(5, alice, alice);
        vm.stopPrank();
        odd.mint(agent, 1000e6);
        odd.setKeep(1);
        vm.startPrank(agent);
        odd.approve(address(q2), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(RedemptionQueue.FundingShort.selector, 9, 10));
        q2.fulfil(_list(id), 2e6, 10);
        vm.stopPrank();
    }

    function test_initialize_and_interfaces() public {
        vm.expectRevert(RedemptionQueue.InvalidAddress.selector);
        new HubProxy(s.queueImplementation, abi.encodeCall(RedemptionQueue.initialize, (timelock, dave, address(usd))));
        vm.expectRevert(RedemptionQueue.InvalidAddress.selector);
        new HubProxy(s.queueImplementation, abi.encodeCall(RedemptionQueue.initialize, (timelock, address(usd), dave)));
        assertEq(q.share(), address(token));
        assertEq(q.asset(), address(usd));
        assertTrue(q.supportsInterface(0x620ee8e4), "ERC-7540 redeem");
        assertTrue(q.supportsInterface(0xe3bc4e65), "ERC-7540 operator");
        assertTrue(q.supportsInterface(0x01ffc9a7), "ERC-165");
        assertFalse(q.supportsInterface(0xffffffff));
    }

    function testFuzz_payments_add_up(uint256 shares, uint256 price, uint256 first) public {
        shares = _bound(shares, 1, 1000e6);
        price = _bound(price, 0, 9e6);
        uint256 id = _request(shares);
        _fulfil(id, price);
        uint256 assets = shares * price / 1e6;
        first = _bound(first, 1, shares);
        vm.startPrank(alice);
        uint256 got = q.redeem(first, alice, alice);
        if (first != shares) got += q.redeem(shares - first, alice, alice);
        vm.stopPrank();
        assertEq(got, assets);
        assertEq(usd.balanceOf(address(q)), 0);
        assertEq(token.totalSupply(), 1000e6 - shares);
    }
}
