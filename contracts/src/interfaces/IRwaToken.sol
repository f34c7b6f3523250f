// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What the token adds to ERC-20, ERC-2612, ERC-3643, ERC-7943 and ERC-1643
interface IRwaToken {
    /// @param policy The token's {TokenPolicyView}.
    /// @param agents Who gets which rights (bits of {Rights}) from the start.
    struct Setup {
        string name;
        string symbol;
        uint8 decimals;
        address onchainId;
        address policy;
        address owner;
        address[] agents;
        uint256[] rights;
    }

    /// @notice A forced action was taken under `caseId`.
    /// @param action Selector of the action, in its ERC-3643 or ERC-7943 form.
    /// @param account The wallet it was taken against.
    event CaseNoted(bytes32 indexed caseId, address indexed account, bytes4 indexed action, address agent);
    /// @notice Forced actions of `agent` without an explicit case now count under `caseId`; zero: none.
    event CaseOpened(address indexed agent, bytes32 indexed caseId);

    error EnforcedPause();
    error ExpectedPause();
    /// @notice A forced action needs a case id: open a case or use the variant that takes one.
    error CaseRequired();
    error InvalidDecimals(uint8 decimals);
    error InvalidName();
    error LengthMismatch();
    error SupplyOverflow();
    /// @notice More than 2^120-1 cannot be frozen.
    error FreezeOverflow();
    error InsufficientFrozen(address account, uint256 frozen, uint256 amount);
    /// @notice While there is supply the token can only move to another view of the same engine.
    error EngineInUse(address engine, uint256 supply);
    error InvalidPolicy(address policy);
    error NothingToRecover(address wallet);
    error PermitExpired(uint256 deadline);
    error InvalidSigner(address signer, address owner);
}
