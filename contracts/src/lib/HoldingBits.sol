// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One storage word per wallet of a token
/// @dev Bits, low to high: 0..127 balance, 128..247 frozen amount (may exceed the balance), 248 wallet frozen.
type Holding is uint256;

using HoldingBits for Holding global;

library HoldingBits {
    uint256 internal constant MAX_FROZEN = type(uint120).max;

    function balance(Holding h) internal pure returns (uint256) {
        return uint128(Holding.unwrap(h));
    }

    function frozen(Holding h) internal pure returns (uint256) {
        return uint120(Holding.unwrap(h) >> 128);
    }

    function isFrozen(Holding h) internal pure returns (bool) {
        return Holding.unwrap(h) >> 248 != 0;
    }

    /// @dev What the holder may move.
    function free(Holding h) internal pure returns (uint256) {
        uint256 b = balance(h);
        uint256 f = frozen(h);
        unchecked {
            return b > f ? b - f : 0;
        }
    }

    /// @dev Callers know that the balance does not overflow: it is at most the supply, which fits.
    function plus(Holding h, uint256 amount) internal pure returns (Holding) {
        unchecked {
            return Holding.wrap(Holding.unwrap(h) + amount);
        }
    }

    /// @dev Callers check that the balance covers `amount`.
    function minus(Holding h, uint256 amount) internal pure returns (Holding) {
        unchecked {
            return Holding.wrap(Holding.unwrap(h) - amount);
        }
    }

    /// @dev Callers check that `amount` is at most MAX_FROZEN.
    function withFrozen(Holding h, uint256 amount) internal pure returns (Holding) {
        return Holding.wrap((Holding.unwrap(h) & ~(MAX_FROZEN << 128)) | (amount << 128));
    }

    function withWalletFrozen(Holding h, bool value) internal pure returns (Holding) {
        return Holding.wrap((Holding.unwrap(h) & ~(uint256(0xff) << 248)) | (value ? uint256(1) << 248 : 0));
    }
}
