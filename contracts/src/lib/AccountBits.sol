// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One storage word about an address, as a wallet, as an identity, or as both
/// @dev Bits, low to high:
///   0..159   identity     the wallet's identity; for a pure identity: one of the wallets that hold tokens, or zero
///   160..175 country      ISO 3166-1 numeric, of the wallet
///   176..191 topics       bit n set: an attestation of topic n was recorded for this identity
///   192..223 validUntil   seconds: the earliest expiry among those attestations
///   224..239 held         number of tokens of which the wallet has a balance
///   240..243 wallets      number of wallets of this identity that hold any token
///   244..247 flags        REGISTERED, WALLET, CUSTODY
///   248..255 epoch        the trust epoch in which `topics` and `validUntil` were computed
/// An investor who uses the wallet's own address as identity has everything in one word: that is the cheap, usual case.
type Account is uint256;

using AccountBits for Account global;

library AccountBits {
    /// @dev The wallet may receive tokens (subject to attestations).
    uint256 internal constant REGISTERED = 1;
    /// @dev The identity field is this wallet's identity (it stays set while an unregistered wallet still holds tokens).
    uint256 internal constant WALLET = 2;
    /// @dev A system account (redemption queue, custodian): no attestations, not a holder, no maximum.
    uint256 internal constant CUSTODY = 4;

    function identity(Account a) internal pure returns (address) {
        return address(uint160(Account.unwrap(a)));
    }

    function country(Account a) internal pure returns (uint16) {
        return uint16(Account.unwrap(a) >> 160);
    }

    function topics(Account a) internal pure returns (uint16) {
        return uint16(Account.unwrap(a) >> 176);
    }

    function validUntil(Account a) internal pure returns (uint32) {
        return uint32(Account.unwrap(a) >> 192);
    }

    function held(Account a) internal pure returns (uint16) {
        return uint16(Account.unwrap(a) >> 224);
    }

    function wallets(Account a) internal pure returns (uint256) {
        return (Account.unwrap(a) >> 240) & 0xf;
    }

    function epoch(Account a) internal pure returns (uint8) {
        return uint8(Account.unwrap(a) >> 248);
    }

    function has(Account a, uint256 flag) internal pure returns (bool) {
        return (Account.unwrap(a) >> 244) & flag != 0;
    }

    function withIdentity(Account a, address value) internal pure returns (Account) {
        return _put(a, 0, type(uint160).max, uint160(value));
    }

    function withCountry(Account a, uint16 value) internal pure returns (Account) {
        return _put(a, 160, type(uint16).max, value);
    }

    function withAttestations(Account a, uint16 topics_, uint32 validUntil_, uint8 epoch_)
        internal
        pure
        returns (Account)
    {
        a = _put(a, 176, type(uint16).max, topics_);
        a = _put(a, 192, type(uint32).max, validUntil_);
        return _put(a, 248, type(uint8).max, epoch_);
    }

    /// @dev Callers check that `value` fits.
    function withHeld(Account a, uint256 value) internal pure returns (Account) {
        return _put(a, 224, type(uint16).max, value);
    }

    /// @dev Callers check that `value` is at most 15.
    function withWallets(Account a, uint256 value) internal pure returns (Account) {
        return _put(a, 240, 0xf, value);
    }

    function with(Account a, uint256 flags) internal pure returns (Account) {
        return Account.wrap(Account.unwrap(a) | (flags << 244));
    }

    function without(Account a, uint256 flags) internal pure returns (Account) {
        return Account.wrap(Account.unwrap(a) & ~(flags << 244));
    }

    function _put(Account a, uint256 shift, uint256 mask, uint256 value) private pure returns (Account) {
        return Account.wrap((Account.unwrap(a) & ~(mask << shift)) | (value << shift));
    }
}
