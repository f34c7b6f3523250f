// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IComplianceEngine} from "../interfaces/IComplianceEngine.sol";
import {Account, AccountBits} from "./AccountBits.sol";
import {EngineStore} from "./EngineStore.sol";

/// @title Wallets and identities: what changes rarely
/// @notice A linked library of {ComplianceEngine}, which checks the caller's rights; see {EngineRules} for why.
library EngineWallets {
    /// @dev ISO 3166-1 numeric.
    uint16 internal constant MAX_COUNTRY = 999;

    function remove(address wallet) external {
        Account a = _registered(wallet);
        emit IComplianceEngine.IdentityRemoved(wallet, a.identity());
        emit IComplianceEngine.IdentityUnstored(wallet, a.identity());
        a = a.without(AccountBits.REGISTERED);
        EngineStore.load().accounts[wallet] = a.held() == 0 ? forgotten(a) : a;
    }

    function updateCountry(address wallet, uint16 country) external {
        Account a = _registered(wallet);
        checkCountry(country);
        EngineStore.load().accounts[wallet] = a.withCountry(country);
        emit IComplianceEngine.CountryUpdated(wallet, country);
    }

    function updateIdentity(address wallet, address newIdentity) external {
        Account a = _registered(wallet);
        if (newIdentity == address(0)) newIdentity = wallet;
        if (a.held() != 0) revert IComplianceEngine.WalletHoldsTokens(wallet, a.held());
        address old = a.identity();
        uint16 country = a.country();
        a = forgotten(a);
        checkIdentity(wallet, a, newIdentity);
        EngineStore.load().accounts[wallet] = a.withIdentity(newIdentity).withCountry(country).with(AccountBits.WALLET);
        emit IComplianceEngine.IdentityUpdated(old, newIdentity);
        emit IComplianceEngine.WalletIdentityChanged(wallet, old, newIdentity);
    }

    function setCustody(address account, bool custody) external {
        if (account == address(0)) revert IComplianceEngine.InvalidAddress();
        EngineStore.EngineStorage storage $ = EngineStore.load();
        Account a = $.accounts[account];
        if (a.held() != 0) revert IComplianceEngine.WalletHoldsTokens(account, a.held());
        if (custody) {
            if (a.has(AccountBits.WALLET)) revert IComplianceEngine.AlreadyRegistered(account);
            if (a.wallets() != 0) revert IComplianceEngine.AddressIsIdentity(account);
            a = a.withIdentity(account).with(AccountBits.WALLET | AccountBits.REGISTERED | AccountBits.CUSTODY);
        } else {
            if (!a.has(AccountBits.CUSTODY)) revert IComplianceEngine.NotRegistered(account);
            a = forgotten(a.without(AccountBits.REGISTERED | AccountBits.CUSTODY));
        }
        $.accounts[account] = a;
        emit IComplianceEngine.CustodySet(account, custody);
    }

    function holding(address id) external view returns (address[] memory wallets) {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        Account i = $.accounts[id];
        if (i.wallets() == 0) return wallets; // perhaps a wallet of another identity
        address[] storage more = $.moreWallets[id];
        wallets = new address[](i.wallets());
        address first = firstWallet(id, i);
        uint256 offset = first == address(0) ? 0 : 1;
        if (offset == 1) wallets[0] = first;
        for (uint256 k = 0; k < more.length; ++k) {
            wallets[k + offset] = more[k];
        }
    }

    /// @dev An address is a wallet of one identity, or an identity, or its own identity; never two of these for
    /// different investors.
    function checkIdentity(address wallet, Account a, address id) internal view {
        if (id == wallet) {
            if (a.identity() != address(0)) revert IComplianceEngine.AddressIsIdentity(wallet);
            return;
        }
        Account i = EngineStore.load().accounts[id];
        if (i.has(AccountBits.WALLET) && (i.identity() != id || i.has(AccountBits.CUSTODY))) {
            revert IComplianceEngine.AddressIsIdentity(id);
        }
        if (a.wallets() != 0) revert IComplianceEngine.AddressIsIdentity(wallet);
    }

    /// @dev The holding wallet that is not in `moreWallets`, zero when there is none.
    function firstWallet(address id, Account i) internal pure returns (address) {
        if (!i.has(AccountBits.WALLET)) return i.identity();
        return i.held() == 0 ? address(0) : id;
    }

    /// @dev The word of a wallet that is no longer one; what it is as an identity stays.
    function forgotten(Account a) internal pure returns (Account) {
        return a.withIdentity(address(0)).withCountry(0).without(AccountBits.WALLET);
    }

    function checkCountry(uint16 country) internal pure {
        if (country > MAX_COUNTRY) revert IComplianceEngine.InvalidCountry(country);
    }

    function _registered(address wallet) private view returns (Account a) {
        a = EngineStore.load().accounts[wallet];
        if (!a.has(AccountBits.REGISTERED) || a.has(AccountBits.CUSTODY)) {
            revert IComplianceEngine.NotRegistered(wallet);
        }
    }
}
