// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAgentRights} from "../interfaces/IAgentRights.sol";
import {IComplianceEngine} from "../interfaces/IComplianceEngine.sol";
import {EngineStore} from "./EngineStore.sol";
import {EngineWallets} from "./EngineWallets.sol";
import {Rights} from "./Rights.sol";
import {Rules, RuleBits} from "./RuleBits.sol";

interface IOwned {
    function owner() external view returns (address);
}

/// @title How the engine's rules change, and who may change them
/// @notice A linked library of {ComplianceEngine}: it runs on the engine's storage and in its name. It is apart because
/// the engine would not fit the code size limit otherwise; nothing here is on the way of a transfer.
library EngineRules {
    uint256 internal constant MAX_MODULES = 8;

    function bind(address token, IComplianceEngine.RuleSet calldata rules, uint16[] calldata countries) external {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        if ($.rules[token].has(RuleBits.BOUND)) revert IComplianceEngine.TokenAlreadyBound(token);
        _requireNoSupply(token);
        uint256 flags = RuleBits.BOUND | ($.modules[token].length == 0 ? 0 : RuleBits.MODULES);
        $.rules[token] = _pack(rules, flags, 0);
        emit IComplianceEngine.TokenRulesBound(token);
        _emitRules(token, rules);
        _listCountries(token, countries, true);
    }

    function unbind(address token) external {
        _bound(token);
        _requireNoSupply(token);
        EngineStore.load().rules[token] = Rules.wrap(0);
        emit IComplianceEngine.TokenRulesUnbound(token);
    }

    function setRules(address token, IComplianceEngine.RuleSet calldata next) external {
        Rules r = _bound(token);
        _checkRuler(token, _tightens(_unpack(r), next));
        uint256 kept = RuleBits.BOUND;
        if (r.has(RuleBits.MODULES)) kept |= RuleBits.MODULES;
        if (r.has(RuleBits.LOCKS) || r.lockupSecs() != 0) kept |= RuleBits.LOCKS;
        EngineStore.load().rules[token] = _pack(next, kept, r.holders());
        _emitRules(token, next);
    }

    function setCountries(address token, uint16[] calldata countries, bool listed) external {
        Rules r = _bound(token);
        bool loosens = listed ? r.has(RuleBits.COUNTRY_ALLOW) : r.has(RuleBits.COUNTRY_BLOCK);
        _checkRuler(token, !loosens);
        _listCountries(token, countries, listed);
    }

    function lock(address token, address wallet, uint256 amount, uint64 until) external {
        _bound(token);
        EngineStore.Lock memory old = EngineStore.load().locks[token][wallet];
        bool running = old.until > block.timestamp;
        bool tightens = until > block.timestamp && (!running || (amount >= old.amount && until >= old.until));
        _checkRuler(token, tightens);
        if (amount > type(uint128).max) revert IComplianceEngine.InvalidLock();
        _writeLock(token, wallet, amount, until);
    }

    /// @dev Adds to a running lock: the amounts add up, the later end counts.
    function mergeLock(address token, address wallet, uint256 amount, uint64 until) external {
        EngineStore.Lock memory old = EngineStore.load().locks[token][wallet];
        if (old.until > block.timestamp) {
            amount += old.amount;
            if (old.until > until) until = old.until;
        }
        if (amount > type(uint128).max) amount = type(uint128).max;
        _writeLock(token, wallet, amount, until);
    }

    function addModule(address token, address module) external {
        Rules r = _bound(token);
        _checkRuler(token, false);
        address[] storage list = EngineStore.load().modules[token];
        if (module.code.length == 0 || _indexOf(list, module) != list.length) {
            revert IComplianceEngine.InvalidModule(module);
        }
        if (list.length == MAX_MODULES) revert IComplianceEngine.TooMany(MAX_MODULES);
        list.push(module);
        EngineStore.load().rules[token] = r.with(RuleBits.MODULES);
        emit IComplianceEngine.ModuleAdded(token, module);
    }

    function removeModule(address token, address module) external {
        Rules r = _bound(token);
        _checkRuler(token, false);
        address[] storage list = EngineStore.load().modules[token];
        uint256 k = _indexOf(list, module);
        if (k == list.length) revert IComplianceEngine.InvalidModule(module);
        list[k] = list[list.length - 1];
        list.pop();
        if (list.length == 0) EngineStore.load().rules[token] = r.without(RuleBits.MODULES);
        emit IComplianceEngine.ModuleRemoved(token, module);
    }

    function unpack(Rules r) external pure returns (IComplianceEngine.RuleSet memory) {
        return _unpack(r);
    }

    function _bound(address token) private view returns (Rules r) {
        r = EngineStore.load().rules[token];
        if (!r.has(RuleBits.BOUND)) revert IComplianceEngine.TokenNotBound(token);
    }

    function _requireNoSupply(address token) private view {
        uint256 supply = IERC20(token).totalSupply();
        if (supply != 0) revert IComplianceEngine.TokenHasSupply(token, supply);
    }

    /// @dev The token's owner may do everything, its RULES agents only what tightens.
    function _checkRuler(address token, bool tightens) private view {
        if (msg.sender == IOwned(token).owner()) return;
        if (!IAgentRights(token).hasRight(msg.sender, Rights.RULES)) {
            revert IAgentRights.MissingRight(msg.sender, Rights.RULES);
        }
        if (!tightens) revert IComplianceEngine.LooseningNeedsOwner();
    }

    /// @dev True when nothing that `a` refuses is allowed by `b`.
    function _tightens(IComplianceEngine.RuleSet memory a, IComplianceEngine.RuleSet calldata b)
        private
        pure
        returns (bool)
    {
        if (a.maxBalance != 0 && (b.maxBalance == 0 || b.maxBalance > a.maxBalance)) return false;
        if (a.holderCap != 0 && (b.holderCap == 0 || b.holderCap > a.holderCap)) return false;
        if (a.requiredTopics & ~b.requiredTopics != 0) return false;
        if (b.lockupSecs < a.lockupSecs) return false;
        if (a.countryMode != IComplianceEngine.CountryMode.Any && a.countryMode != b.countryMode) return false;
        return b.senderAttested || !a.senderAttested;
    }

    function _pack(IComplianceEngine.RuleSet calldata rules, uint256 flags, uint256 holders)
        private
        pure
        returns (Rules)
    {
        if (rules.countryMode == IComplianceEngine.CountryMode.Allow) flags |= RuleBits.COUNTRY_ALLOW;
        if (rules.countryMode == IComplianceEngine.CountryMode.Block) flags |= RuleBits.COUNTRY_BLOCK;
        if (rules.senderAttested) flags |= RuleBits.SENDER_ATTESTED;
        Rules r = RuleBits.make(rules.maxBalance, rules.holderCap, rules.requiredTopics, rules.lockupSecs, flags);
        return r.withHolders(holders);
    }

    function _unpack(Rules r) private pure returns (IComplianceEngine.RuleSet memory rules) {
        // forge-lint: disable-next-line(unsafe-typecast)
        rules.maxBalance = uint128(r.maxBalance()); // the field has 128 bits
        rules.holderCap = r.holderCap();
        rules.requiredTopics = r.topics();
        rules.lockupSecs = r.lockupSecs();
        if (r.has(RuleBits.COUNTRY_ALLOW)) rules.countryMode = IComplianceEngine.CountryMode.Allow;
        if (r.has(RuleBits.COUNTRY_BLOCK)) rules.countryMode = IComplianceEngine.CountryMode.Block;
        rules.senderAttested = r.has(RuleBits.SENDER_ATTESTED);
    }

    function _emitRules(address token, IComplianceEngine.RuleSet calldata r) private {
        emit IComplianceEngine.RulesSet(
            token,
            msg.sender,
            r.maxBalance,
            r.holderCap,
            r.requiredTopics,
            r.lockupSecs,
            r.countryMode,
            r.senderAttested
        );
    }

    function _listCountries(address token, uint16[] calldata countries, bool listed) private {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        for (uint256 k = 0; k < countries.length; ++k) {
            uint16 country = countries[k];
            EngineWallets.checkCountry(country);
            uint256 bit = 1 << (country & 0xff);
            if (listed) $.countries[token][country >> 8] |= bit;
            else $.countries[token][country >> 8] &= ~bit;
            emit IComplianceEngine.CountryListed(token, country, listed);
        }
    }

    function _writeLock(address token, address wallet, uint256 amount, uint64 until) private {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        // forge-lint: disable-next-line(unsafe-typecast)
        $.locks[token][wallet] = EngineStore.Lock(uint128(amount), until); // callers bound `amount`
        Rules r = $.rules[token];
        if (!r.has(RuleBits.LOCKS)) $.rules[token] = r.with(RuleBits.LOCKS);
        emit IComplianceEngine.LockSet(token, wallet, amount, until);
    }

    /// @return The list's length when `item` is not in it.
    function _indexOf(address[] storage list, address item) private view returns (uint256) {
        for (uint256 k = 0; k < list.length; ++k) {
            if (list[k] == item) return k;
        }
        return list.length;
    }
}
