// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base, Asserts} from "./Base.sol";
import {Vm} from "../script/Vm.sol";
import {MockUsd} from "./mocks/MockUsd.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {DvpSettlement} from "../src/DvpSettlement.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";

/// @notice Does anything anybody may do, in any order, and checks after each step what that step must not have done.
contract Handler is Asserts {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    RwaToken private immutable token;
    ComplianceEngine private immutable engine;
    DvpSettlement private immutable dvp;
    MockUsd private immutable usd;
    address private immutable agent;
    address private immutable kyc;
    address private immutable issuer;
    address private immutable timelock;

    uint256[] private keys;
    address[] public wallets;
    address[] public identities;
    uint256 public moves; // successful movements, so that the run is known to have done something
    uint256 public settlements;
    uint256 public tightenings;
    uint64 private nonce;

    constructor(RwaToken token_, ComplianceEngine e, DvpSettlement d, MockUsd u, address[4] memory people) {
        (token, engine, dvp, usd) = (token_, e, d, u);
        (agent, kyc, issuer, timelock) = (people[0], people[1], people[2], people[3]);
        for (uint256 k = 0; k < 9; ++k) {
            keys.push(0x900 + k);
            wallets.push(vm.addr(0x900 + k));
        }
        // two investors who are their own identity, one of them with more wallets; two with separate identities
        identities = [
            wallets[0],
            wallets[0],
            wallets[0],
            wallets[3],
            address(0x1D1),
            address(0x1D1),
            address(0x1D2),
            address(0x1D2),
            wallets[8]
        ];
    }

    function walletCount() external view returns (uint256) {
        return wallets.length;
    }

    function _w(uint256 seed) private view returns (address) {
        return wallets[seed % wallets.length];
    }

    /// @dev A movement went through: its receiver must have been eligible.
    function _moved(bool ok, bool eligible) private {
        if (!ok) return;
        ++moves;
        assertTrue(eligible, "an ineligible receiver received");
    }

    // ------------------------------------------------------------ movements

    function mint(uint256 to, uint256 amount) external {
        amount %= 1000;
        bool eligible = engine.canReceive(address(token), _w(to));
        vm.prank(agent);
        (bool ok,) = address(token).call(abi.encodeCall(token.mint, (_w(to), amount)));
        _moved(ok, eligible);
    }

    function transfer(uint256 from, uint256 to, uint256 amount) external {
        address a = _w(from);
        amount = token.balanceOf(a) == 0 ? 0 : amount % (token.balanceOf(a) + 2);
        if (amount % 5 == 0) amount = token.balanceOf(a); // leaving is what counts holders
        uint256 free = token.freeBalanceOf(a);
        bool eligible = token.canReceive(_w(to));
        bool sender = token.canSend(a);
        bool paused = token.paused();
        (uint256 locked, uint64 until) = engine.lockOf(address(token), a);
        vm.prank(a);
        (bool ok,) = address(token).call(abi.encodeCall(token.transfer, (_w(to), amount)));
        _moved(ok, eligible && sender);
        if (!ok) return;
        assertTrue(amount <= free, "frozen tokens were spent");
        assertTrue(!paused, "moved while paused");
        bool kept = until <= block.timestamp || token.balanceOf(a) >= locked || a == _w(to) || amount == 0;
        assertTrue(kept, "locked tokens were spent");
    }

    function forced(uint256 from, uint256 to, uint256 amount) external {
        address a = _w(from);
        amount = token.balanceOf(a) == 0 ? 0 : amount % (token.balanceOf(a) + 1);
        bool eligible = engine.canReceive(address(token), _w(to));
        vm.prank(agent);
        (bool ok,) = address(token)
            .call(
                abi.encodeWithSignature(
                    "forcedTransfer(address,address,uint256,bytes32)", a, _w(to), amount, bytes32("c")
                )
            );
        _moved(ok, eligible);
    }

    function burn(uint256 from, uint256 amount) external {
        address a = _w(from);
        amount = token.balanceOf(a) == 0 ? 0 : amount % (token.balanceOf(a) + 1);
        vm.prank(agent);
        (bool ok,) =
            address(token).call(abi.encodeWithSignature("burn(address,uint256,bytes32)", a, amount, bytes32("c")));
        assertTrue(ok, "a burn within the balance never fails");
    }

    function recover(uint256 from, uint256 to) external {
        address a = _w(from);
        bool eligible = engine.canReceive(address(token), _w(to));
        bytes memory data = abi.encodeWithSignature(
            "recoveryAddress(address,address,address,bytes32)", a, _w(to), engine.identity(a), bytes32("c")
        );
        vm.prank(agent);
        (bool ok,) = address(token).call(data);
        _moved(ok, eligible);
        if (!ok) return;
        vm.prank(agent);
        token.setAddressFrozen(a, false); // so that the wallet stays in play
    }

    // ------------------------------------------------------------ settlement

    function settle(uint256 from, uint256 to, uint128 amount, uint128 fill, uint256 fault) external {
        (address seller, address buyer) = (_w(from), _w(to));
        DvpSettlement.Order memory o;
        (o.maker, o.token, o.currency, o.sell) = (seller, address(token), address(usd), true);
        o.amount = amount % 500 + 1;
        o.payment = o.amount * 2;
        o.expiry = fault % 7 == 0 ? uint64(block.timestamp) : uint64(block.timestamp + 1);
        o.nonce = fault % 5 == 0 ? nonce : ++nonce;
        bytes memory signature = _sign(keys[from % keys.length], dvp.orderHash(o));
        usd.mint(buyer, fault % 3 == 0 ? 0 : 100);
        _approve(seller, buyer);
        _settle(o, signature, fill % (o.amount + 1), buyer);
    }

    function _approve(address seller, address buyer) private {
        vm.prank(seller);
        token.approve(address(dvp), type(uint256).max);
        vm.prank(buyer);
        usd.approve(address(dvp), type(uint256).max);
    }

    function _settle(DvpSettlement.Order memory o, bytes memory signature, uint128 fill, address buyer) private {
        uint256[4] memory before =
            [token.balanceOf(o.maker), token.balanceOf(buyer), usd.balanceOf(o.maker), usd.balanceOf(buyer)];
        bool eligible = token.canReceive(buyer);
        bool used = dvp.isNonceUsed(o.maker, o.nonce);
        vm.prank(buyer);
        (bool ok,) = address(dvp).call(abi.encodeCall(dvp.settle, (o, signature, fill)));
        uint256 tokens = ok ? fill : 0;
        assertEq(token.balanceOf(o.maker), before[0] - tokens, "token leg, seller");
        assertEq(token.balanceOf(buyer), before[1] + tokens, "token leg, buyer");
        assertEq(usd.balanceOf(o.maker), before[2] + tokens * 2, "payment leg, seller");
        assertEq(usd.balanceOf(buyer), before[3] - tokens * 2, "payment leg, buyer");
        _moved(ok, eligible);
        if (!ok) return;
        ++settlements;
        assertTrue(!used, "a used order was settled");
        assertTrue(block.timestamp < o.expiry, "an expired order was settled");
    }

    // ------------------------------------------------------------ enforcement and registry

    function freeze(uint256 who, uint256 amount) external {
        vm.prank(agent);
        token.setFrozenTokens(_w(who), amount % 600);
    }

    function freezeWallet(uint256 who, uint256 on) external {
        vm.prank(agent);
        token.setAddressFrozen(_w(who), on % 4 == 0);
    }

    function pause(uint256 on) external {
        vm.prank(agent);
        (bool ok,) =
            address(token).call(on % 6 == 0 ? abi.encodeCall(token.pause, ()) : abi.encodeCall(token.unpause, ()));
        ok;
    }

    function lock(uint256 who, uint256 amount, uint256 secs) external {
        vm.prank(agent);
        (bool ok,) = address(engine)
            .call(
                abi.encodeCall(
                    engine.lock, (address(token), _w(who), amount % 300, uint64(block.timestamp + secs % 2 hours))
                )
            );
        ok;
    }

    function remove(uint256 who) external {
        vm.prank(kyc);
        (bool ok,) = address(engine).call(abi.encodeCall(engine.deleteIdentity, (_w(who))));
        ok;
    }

    function register(uint256 who, uint256 country) external {
        uint256 k = who % wallets.length;
        vm.prank(kyc);
        (bool ok,) = address(engine)
            .call(abi.encodeCall(engine.registerIdentity, (wallets[k], identities[k], country % 4 == 0 ? 408 : 276)));
        ok;
    }

    function changeIdentity(uint256 who, uint256 to) external {
        vm.prank(kyc);
        (bool ok,) =
            address(engine).call(abi.encodeCall(engine.updateIdentity, (_w(who), identities[to % identities.length])));
        ok;
    }

    function attest(uint256 who, uint256 secs) external {
        IComplianceEngine.Attestation memory a = IComplianceEngine.Attestation(
            identities[who % identities.length], 1, uint32(block.timestamp + 1 + secs % 1 days), uint32(block.timestamp)
        );
        vm.prank(issuer);
        (bool ok,) = address(engine).call(abi.encodeCall(engine.attest, (a, issuer, "")));
        ok;
    }

    function revoke(uint256 who) external {
        vm.prank(kyc);
        (bool ok,) =
            address(engine).call(abi.encodeCall(engine.revokeAttestation, (identities[who % identities.length], 1)));
        ok;
    }

    function warp(uint256 secs) external {
        vm.warp(block.timestamp + secs % 3 hours);
    }

    // ------------------------------------------------------------ rules

    /// @dev Anybody but the timelock: it goes through only when nothing refused before becomes allowed.
    function changeRules(uint256 who, uint128 max, uint32 cap, uint16 topics, uint32 lockup, uint8 mode, bool sender)
        external
    {
        IComplianceEngine.RuleSet memory a = engine.rulesOf(address(token));
        IComplianceEngine.RuleSet memory b;
        b.maxBalance = max % 3 == 0 ? 0 : 200 + max % 5000;
        b.holderCap = cap % 3 == 0 ? 0 : 2 + cap % 6;
        b.requiredTopics = topics % 4 == 0 ? 0 : 2;
        b.lockupSecs = lockup % 600;
        b.countryMode = IComplianceEngine.CountryMode(mode % 3);
        b.senderAttested = sender;
        address caller = who % 2 == 0 ? agent : who % 3 == 0 ? kyc : issuer;
        vm.prank(caller);
        (bool ok,) = address(engine).call(abi.encodeCall(engine.setRules, (address(token), b)));
        if (!ok) return;
        ++tightenings;
        assertTrue(caller == agent, "someone without the right changed rules");
        assertTrue(a.maxBalance == 0 || (b.maxBalance != 0 && b.maxBalance <= a.maxBalance), "maximum loosened");
        assertTrue(a.holderCap == 0 || (b.holderCap != 0 && b.holderCap <= a.holderCap), "cap loosened");
        assertTrue(a.requiredTopics & ~b.requiredTopics == 0, "topics loosened");
        assertTrue(b.lockupSecs >= a.lockupSecs, "lock-up loosened");
        assertTrue(uint8(a.countryMode) == 0 || a.countryMode == b.countryMode, "countries loosened");
        assertTrue(b.senderAttested || !a.senderAttested, "sender check loosened");
    }

    /// @dev The timelock loosens again, so that the run does not starve.
    function loosen(uint256 seed) external {
        if (seed % 3 != 0) return;
        IComplianceEngine.RuleSet memory b;
        b.requiredTopics = 2;
        b.countryMode = IComplianceEngine.CountryMode.Allow;
        vm.prank(timelock);
        engine.setRules(address(token), b);
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}

contract InvariantsTest is Base {
    Handler private h;

    function setUp() public override {
        super.setUp();
        h = new Handler(token, s.engine, s.dvp, usd, [agent, kyc, issuer, timelock]);
        for (uint256 k = 0; k < h.walletCount(); ++k) {
            h.register(k, 1);
            h.attest(k, 1 days - 1);
        }
        for (uint256 k = 0; k < h.walletCount(); k += 2) {
            h.mint(k, 900);
        }
        h.loosen(0);
    }

    function targetContracts() external view returns (address[] memory) {
        return _list(address(h));
    }

    /// One invariant for all four, so that one campaign serves them; each names itself when it breaks.
    function invariant_books() public view {
        _balances_add_up_to_the_supply();
        _holder_count_is_exact();
        _wallet_books_are_exact();
        _nothing_is_escrowed_in_settlement();
    }

    function _balances_add_up_to_the_supply() private view {
        uint256 sum;
        for (uint256 k = 0; k < h.walletCount(); ++k) {
            sum += token.balanceOf(h.wallets(k));
        }
        assertEq(sum, token.totalSupply(), "sum of balances = supply");
    }

    function _holder_count_is_exact() private view {
        uint256 n = h.walletCount();
        address[] memory seen = new address[](n);
        uint256 count;
        for (uint256 k = 0; k < n; ++k) {
            address w = h.wallets(k);
            if (token.balanceOf(w) == 0) continue;
            address id = s.engine.identity(w);
            assertTrue(id != address(0), "a holder without identity");
            bool known;
            for (uint256 j = 0; j < count; ++j) {
                if (seen[j] == id) known = true;
            }
            if (!known) seen[count++] = id;
        }
        assertEq(s.engine.holderCount(address(token)), count, "holder count");
    }

    function _wallet_books_are_exact() private view {
        for (uint256 k = 0; k < h.walletCount(); ++k) {
            address w = h.wallets(k);
            assertEq(s.engine.tokensHeld(w), token.balanceOf(w) == 0 ? 0 : 1, "tokens held");
            address[] memory holding = s.engine.holdingWallets(h.identities(k));
            for (uint256 j = 0; j < holding.length; ++j) {
                assertTrue(token.balanceOf(holding[j]) != 0, "listed wallet holds nothing");
                assertEq(s.engine.identity(holding[j]), h.identities(k));
            }
        }
    }

    function _nothing_is_escrowed_in_settlement() private view {
        assertEq(token.balanceOf(address(s.dvp)) + usd.balanceOf(address(s.dvp)), 0, "escrow");
    }

    /// The handler is worth its name: a fixed sequence reaches movements, settlements and rule changes.
    function test_handler_reaches_everything() public {
        for (uint256 k = 0; k < 60; ++k) {
            h.transfer(k, k + 1, k * 7);
            h.settle(k, k + 3, uint128(k * 3 + 1), uint128(k + 1), k + 1);
            h.changeRules(k * 2, 1, 1, 1, 0, 1, true);
            h.recover(k, k + 1);
            h.loosen(0);
        }
        assertTrue(h.moves() > 20, "moves");
        assertTrue(h.settlements() > 3, "settlements");
        assertTrue(h.tightenings() > 0, "rule changes");
    }
}
