// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The rules of one token in one storage word
/// @dev Bits, low to high:
///   0..127   maxBalance   smallest units per identity; 0 = no maximum
///   128..159 holderCap    identities; 0 = no cap
///   160..191 holders      identities that hold the token now (custody accounts are not counted)
///   192..207 topics       attestation topics that a receiver must have
///   208..239 lockupSecs   seconds that newly minted tokens stay locked; 0 = no lock-up
///   240..255 flags
type Rules is uint256;

using RuleBits for Rules global;

library RuleBits {
    /// @dev The token is bound to the engine.
    uint256 internal constant BOUND = 1;
    /// @dev The sender, too, must have the required attestations.
    uint256 internal constant SENDER_ATTESTED = 2;
    /// @dev Receivers only from listed countries.
    uint256 internal constant COUNTRY_ALLOW = 4;
    /// @dev No receivers from listed countries.
    uint256 internal constant COUNTRY_BLOCK = 8;
    /// @dev The token has external rule modules.
    uint256 internal constant MODULES = 16;
    /// @dev Some wallet was locked at some time.
    uint256 internal constant LOCKS = 32;

    function maxBalance(Rules r) internal pure returns (uint256) {
        return uint128(Rules.unwrap(r));
    }

    function holderCap(Rules r) internal pure returns (uint32) {
        return uint32(Rules.unwrap(r) >> 128);
    }

    function holders(Rules r) internal pure returns (uint32) {
        return uint32(Rules.unwrap(r) >> 160);
    }

    function topics(Rules r) internal pure returns (uint16) {
        return uint16(Rules.unwrap(r) >> 192);
    }

    function lockupSecs(Rules r) internal pure returns (uint32) {
        return uint32(Rules.unwrap(r) >> 208);
    }

    function has(Rules r, uint256 flags) internal pure returns (bool) {
        return (Rules.unwrap(r) >> 240) & flags != 0;
    }

    /// @dev Callers check that `value` fits.
    function withHolders(Rules r, uint256 value) internal pure returns (Rules) {
        return Rules.wrap((Rules.unwrap(r) & ~(uint256(type(uint32).max) << 160)) | (value << 160));
    }

    function with(Rules r, uint256 flags) internal pure returns (Rules) {
        return Rules.wrap(Rules.unwrap(r) | (flags << 240));
    }

    function without(Rules r, uint256 flags) internal pure returns (Rules) {
        return Rules.wrap(Rules.unwrap(r) & ~(flags << 240));
    }

    /// @dev A word with the given limits and flags and no holders.
    function make(uint128 maxBalance_, uint32 holderCap_, uint16 topics_, uint32 lockupSecs_, uint256 flags)
        internal
        pure
        returns (Rules)
    {
        return Rules.wrap(
            uint256(maxBalance_) | (uint256(holderCap_) << 128) | (uint256(topics_) << 192)
                | (uint256(lockupSecs_) << 208) | (flags << 240)
        );
    }
}
