// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {OddUsd} from "./mocks/MockUsd.sol";
import {DvpSettlement} from "../src/DvpSettlement.sol";
import {IRwaToken} from "../src/interfaces/IRwaToken.sol";

/// @dev Signs whatever it is told to (ERC-1271).
contract Wallet1271 {
    bytes32 public approvedHash;

    function approveHash(bytes32 hash) external {
        approvedHash = hash;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return hash == approvedHash ? this.isValidSignature.selector : bytes4(0);
    }

    function call(address to, bytes calldata data) external {
        (bool ok,) = to.call(data);
        require(ok, "call failed");
    }
}

contract DvpTest is Base {
    DvpSettlement private d;
    address private constant FEE = address(0xFEE);

    function setUp() public override {
        super.setUp();
        d = s.dvp;
        _mint(alice, 1000e6);
        usd.mint(bob, 10_000e6);
        vm.prank(alice);
        token.approve(address(d), type(uint256).max);
        vm.prank(alice);
        usd.approve(address(d), type(uint256).max);
        vm.prank(bob);
        token.approve(address(d), type(uint256).max);
        vm.prank(bob);
        usd.approve(address(d), type(uint256).max);
        vm.prank(timelock);
        d.setFee(100, FEE);
    }

    function _order(address maker, bool sell, uint64 nonce) private view returns (DvpSettlement.Order memory o) {
        o.maker = maker;
        o.token = address(token);
        o.currency = address(usd);
        o.sell = sell;
        o.amount = 100e6;
        o.payment = 200e6;
        o.expiry = uint64(block.timestamp + 1 days);
        o.nonce = nonce;
        o.maxFeeBps = 100;
    }

    function _signed(uint256 key, DvpSettlement.Order memory o) private view returns (bytes memory) {
        return _sign(key, d.orderHash(o));
    }

    function _settle(address taker, DvpSettlement.Order memory o, bytes memory sig, uint128 fill) private {
        vm.prank(taker);
        d.settle(o, sig, fill);
    }

    function test_settle_a_sale() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        (uint256 payment, uint256 fee) = d.quote(o, 100e6);
        assertEq(payment, 200e6);
        assertEq(fee, 2e6);
        _settle(bob, o, _signed(ALICE_KEY, o), 100e6);
        assertEq(token.balanceOf(bob), 100e6);
        assertEq(usd.balanceOf(alice), 198e6);
        assertEq(usd.balanceOf(FEE), 2e6);
        assertEq(usd.balanceOf(address(d)) + token.balanceOf(address(d)), 0); // nothing is ever held
        (DvpSettlement.OrderState state, uint256 left) = d.status(o);
        assertTrue(d.isNonceUsed(alice, 0));
        assertEq(left, 0);
        assertTrue(state != DvpSettlement.OrderState.Open);
    }

    function test_settle_a_purchase_without_fee() public {
        vm.prank(timelock);
        d.setFee(0, address(0));
        DvpSettlement.Order memory o = _order(bob, false, 3);
        _settle(alice, o, _signed(BOB_KEY, o), 50e6);
        assertEq(token.balanceOf(bob), 50e6);
        assertEq(usd.balanceOf(alice), 100e6);
    }

    function test_partial_fills_until_full() public {
        DvpSettlement.Order memory o = _order(alice, true, 1);
        o.minFill = 30e6;
        bytes memory sig = _signed(ALICE_KEY, o);
        _settle(bob, o, sig, 40e6);
        (DvpSettlement.OrderState state, uint256 left) = d.status(o);
        assertEq(left, 60e6);
        assertTrue(state == DvpSettlement.OrderState.Open);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidFill.selector, 20e6, 60e6));
        _settle(bob, o, sig, 20e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidFill.selector, 61e6, 60e6));
        _settle(bob, o, sig, 61e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidFill.selector, 0, 60e6));
        _settle(bob, o, sig, 0);
        _settle(bob, o, sig, 45e6);
        _settle(bob, o, sig, 15e6); // the rest may be below the minimum
        (state, left) = d.status(o);
        assertTrue(state == DvpSettlement.OrderState.Filled);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 1));
        _settle(bob, o, sig, 1);
    }

    function test_replay_is_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        _settle(bob, o, sig, 100e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 0));
        _settle(bob, o, sig, 100e6);
        DvpSettlement.Order memory other = _order(alice, true, 0); // another order with the same nonce
        other.payment = 1;
        bytes memory otherSig = _signed(ALICE_KEY, other);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 0));
        _settle(bob, other, otherSig, 100e6);
    }

    function test_expired_is_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.warp(o.expiry);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderExpired.selector, o.expiry));
        _settle(bob, o, sig, 100e6);
        (DvpSettlement.OrderState state,) = d.status(o);
        assertTrue(state == DvpSettlement.OrderState.Expired);
    }

    function test_cancelled_is_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 7);
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.prank(alice);
        d.cancel(7);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 7));
        _settle(bob, o, sig, 100e6);
        (DvpSettlement.OrderState state,) = d.status(o);
        assertTrue(state == DvpSettlement.OrderState.Cancelled);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 7));
        d.cancel(7);
        o.nonce = 256 + 9;
        sig = _signed(ALICE_KEY, o);
        vm.prank(alice);
        d.invalidateNonces(1, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.OrderUsedUp.selector, alice, 265));
        _settle(bob, o, sig, 100e6);
    }

    function test_foreign_chain_and_contract_are_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        uint256 home = block.chainid;
        vm.chainId(home + 1);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidOrderSignature.selector, alice));
        _settle(bob, o, sig, 100e6);
        vm.chainId(home);
        sig = _signed(BOB_KEY, o);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidOrderSignature.selector, alice));
        _settle(bob, o, sig, 100e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidOrderSignature.selector, alice));
        _settle(bob, o, hex"00", 100e6);
    }

    function test_changed_terms_are_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        o.payment -= 1;
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidOrderSignature.selector, alice));
        _settle(bob, o, sig, 100e6);
    }

    function test_dirty_words_are_refused() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory data = abi.encodeCall(d.settle, (o, _signed(ALICE_KEY, o), 100e6));
        data[4 + 32 * 5] = 0x01; // a bit above the 128 of `amount`
        vm.prank(bob);
        (bool ok,) = address(d).call(data);
        assertFalse(ok);
    }

    function test_only_the_named_taker() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        o.taker = carol;
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.WrongTaker.selector, bob));
        _settle(bob, o, sig, 100e6);
        o.taker = bob;
        _settle(bob, o, _signed(ALICE_KEY, o), 100e6);
    }

    function test_invalid_orders() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        o.amount = 0;
        vm.expectRevert(); // no price per unit
        d.quote(o, 1);
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.expectRevert(DvpSettlement.InvalidOrder.selector);
        _settle(bob, o, sig, 0);
        o = _order(address(0), true, 0);
        vm.expectRevert(DvpSettlement.InvalidOrder.selector);
        _settle(bob, o, sig, 1);
        o = _order(alice, true, 0);
        sig = _signed(ALICE_KEY, o);
        vm.expectRevert(DvpSettlement.OrdersDoNotMatch.selector);
        _settle(alice, o, sig, 1);
        o.maxFeeBps = 99;
        sig = _signed(ALICE_KEY, o);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.FeeTooHigh.selector, 100, 99));
        _settle(bob, o, sig, 1);
    }

    function test_both_legs_or_none() public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.prank(agent);
        token.pause();
        vm.expectRevert(IRwaToken.EnforcedPause.selector);
        _settle(bob, o, sig, 100e6);
        vm.prank(agent);
        token.unpause();
        vm.prank(bob);
        usd.transfer(carol, 10_000e6); // bob cannot pay
        vm.expectRevert();
        _settle(bob, o, sig, 100e6);
        assertEq(token.balanceOf(bob), 0);
        assertFalse(d.isNonceUsed(alice, 0)); // and the order is still good
        vm.prank(carol);
        usd.transfer(bob, 10_000e6);
        _settle(bob, o, sig, 100e6);
    }

    function test_currency_that_keeps_something_is_refused() public {
        OddUsd odd = new OddUsd();
        odd.mint(bob, 1000e6);
        odd.setKeep(1);
        vm.prank(bob);
        odd.approve(address(d), type(uint256).max);
        DvpSettlement.Order memory o = _order(alice, true, 0);
        o.currency = address(odd);
        bytes memory sig = _signed(ALICE_KEY, o);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.PaymentShort.selector, 198e6 - 1, 198e6));
        _settle(bob, o, sig, 100e6);
    }

    function test_reentrancy_is_refused() public {
        OddUsd odd = new OddUsd();
        odd.mint(bob, 1000e6);
        vm.prank(bob);
        odd.approve(address(d), type(uint256).max);
        DvpSettlement.Order memory o = _order(alice, true, 0);
        o.currency = address(odd);
        bytes memory sig = _signed(ALICE_KEY, o);
        odd.setHook(address(d), abi.encodeCall(d.settle, (o, sig, 1)));
        _settle(bob, o, sig, 50e6);
        assertFalse(odd.hookResult());
        (, uint256 left) = d.status(o);
        assertEq(left, 50e6);
    }

    // ------------------------------------------------------------ two signed orders

    function _match(uint128 fill, uint128 payment) private view returns (DvpSettlement.Match memory m) {
        m.sell = _order(alice, true, 0);
        m.buy = _order(bob, false, 0);
        m.buy.payment = 220e6;
        m.sellSignature = _signed(ALICE_KEY, m.sell);
        m.buySignature = _signed(BOB_KEY, m.buy);
        m.fill = fill;
        m.payment = payment;
    }

    function test_match() public {
        DvpSettlement.Match memory m;
        d.settleMatch(_match(50e6, 105e6)); // anyone with both signatures
        assertEq(token.balanceOf(bob), 50e6);
        assertEq(usd.balanceOf(alice), 105e6 - 1.05e6);
        m = _match(50e6, 99e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.PriceNotMet.selector, 99e6, 100e6));
        d.settleMatch(m);
        m = _match(50e6, 111e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.PriceNotMet.selector, 111e6, 110e6));
        d.settleMatch(m);
        d.settleMatch(_match(50e6, 110e6));
        assertTrue(d.isNonceUsed(alice, 0) && d.isNonceUsed(bob, 0));
    }

    function test_match_refusals() public {
        DvpSettlement.Match memory m = _match(50e6, 105e6);
        (m.sell.sell) = false;
        vm.expectRevert(DvpSettlement.OrdersDoNotMatch.selector);
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.buy.sell = true;
        vm.expectRevert(DvpSettlement.OrdersDoNotMatch.selector);
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.buy.token = address(usd);
        vm.expectRevert(DvpSettlement.OrdersDoNotMatch.selector);
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.buy.currency = address(token);
        vm.expectRevert(DvpSettlement.OrdersDoNotMatch.selector);
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.sell.taker = carol;
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.WrongTaker.selector, bob));
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.buy.taker = carol;
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.WrongTaker.selector, alice));
        d.settleMatch(m);
        m = _match(50e6, 105e6);
        m.sell.taker = bob;
        m.buy.taker = alice;
        m.sellSignature = _signed(ALICE_KEY, m.sell);
        m.buySignature = _signed(BOB_KEY, m.buy);
        d.settleMatch(m);
    }

    function test_batch_is_all_or_none() public {
        DvpSettlement.Match[] memory two = new DvpSettlement.Match[](2);
        two[0] = _match(50e6, 105e6);
        two[1] = _match(51e6, 107.1e6);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidFill.selector, 51e6, 50e6));
        d.settleBatch(two);
        assertEq(token.balanceOf(bob), 0);
        two[1] = _match(50e6, 105e6);
        d.settleBatch(two);
        assertEq(token.balanceOf(bob), 100e6);
    }

    function test_contract_wallets_sign_by_erc1271() public {
        Wallet1271 w = new Wallet1271();
        _onboard(address(w), DE);
        _transfer(alice, address(w), 100e6);
        w.call(address(token), abi.encodeCall(token.approve, (address(d), type(uint256).max)));
        DvpSettlement.Order memory o = _order(address(w), true, 0);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.InvalidOrderSignature.selector, address(w)));
        _settle(bob, o, hex"01", 100e6);
        w.approveHash(d.orderHash(o));
        _settle(bob, o, hex"01", 100e6);
        assertEq(token.balanceOf(bob), 100e6);
    }

    function test_fee_is_the_owners() public {
        _expectNotOwner(agent);
        vm.prank(agent);
        d.setFee(1, agent);
        vm.startPrank(timelock);
        vm.expectRevert(abi.encodeWithSelector(DvpSettlement.FeeTooHigh.selector, 501, 500));
        d.setFee(501, FEE);
        vm.expectRevert(DvpSettlement.InvalidFeeRecipient.selector);
        d.setFee(1, address(0));
        d.addAgent(dave); // agents have no part in settlement
        vm.stopPrank();
        assertEq(d.rightsOf(dave), 0);
        (uint16 bps, address to) = d.feeInfo();
        assertEq(bps, 100);
        assertEq(to, FEE);
    }

    function test_domain_constants_are_the_published_domain() public view {
        (, string memory name, string memory version, uint256 chainId, address where,,) = d.eip712Domain();
        bytes32 separator = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256(bytes(version)),
                chainId,
                where
            )
        );
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", separator, keccak256(abi.encode(d.ORDER_TYPEHASH(), o))));
        assertEq(d.orderHash(o), digest);
    }

    function testFuzz_makers_price_or_better(uint128 amount, uint128 payment, uint128 fill, bool sell) public {
        DvpSettlement.Order memory o = _order(sell ? alice : bob, sell, 0);
        o.amount = uint128(_bound(amount, 1, 1000e6));
        o.payment = uint128(_bound(payment, 0, 10_000e6));
        fill = uint128(_bound(fill, 1, o.amount));
        _settle(sell ? bob : alice, o, _signed(sell ? ALICE_KEY : BOB_KEY, o), fill);
        uint256 paid = 10_000e6 - usd.balanceOf(bob);
        // rounded in the maker's favour, by less than one unit
        if (sell) assertTrue(paid * o.amount >= uint256(o.payment) * fill, "seller gets its price");
        else assertTrue(paid * o.amount <= uint256(o.payment) * fill, "buyer pays its price");
        assertEq(usd.balanceOf(alice) + usd.balanceOf(FEE), paid);
        assertEq(token.balanceOf(bob), fill);
        assertEq(token.totalSupply(), 1000e6);
    }

    function testFuzz_fills_never_exceed_the_order(uint128[4] memory fills) public {
        DvpSettlement.Order memory o = _order(alice, true, 0);
        bytes memory sig = _signed(ALICE_KEY, o);
        uint256 sum;
        for (uint256 k = 0; k < 4; ++k) {
            uint128 fill = uint128(_bound(fills[k], 0, 120e6));
            vm.prank(bob);
            (bool ok,) = address(d).call(abi.encodeCall(d.settle, (o, sig, fill)));
            assertTrue(ok == (fill != 0 && sum + fill <= 100e6), "settles iff it fits");
            if (ok) sum += fill;
        }
        assertEq(token.balanceOf(bob), sum);
        (, uint256 left) = d.status(o);
        assertEq(left, 100e6 - sum);
    }
}
