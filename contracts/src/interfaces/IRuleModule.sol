// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title An external rule of one token, for what the engine's own rules do not cover
/// @notice Added and removed through the timelock. A token without modules pays nothing for them.
interface IRuleModule {
    /// @notice Whether a transfer (or mint, when `from` is zero) may happen. Must not revert.
    /// @param amount Smallest units of `token`.
    function check(address token, address from, address to, uint256 amount) external view returns (bool allowed);

    /// @notice Called by the engine after balances have moved. `from` zero: mint, `to` zero: burn.
    /// @param forced True for forced transfers, recoveries and burns; a revert is then recorded and ignored.
    function onTransfer(address token, address from, address to, uint256 amount, bool forced) external;
}
