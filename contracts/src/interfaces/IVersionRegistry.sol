// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Reviewed implementations per kind of contract
interface IVersionRegistry {
    event VersionAdded(bytes32 indexed kind, address indexed implementation, string version, bytes32 codeHash);
    event VersionRetired(bytes32 indexed kind, address indexed implementation);

    /// @notice `implementation` is not listed for `kind`, was retired, or its code changed since it was listed.
    error VersionNotListed(bytes32 kind, address implementation);
    /// @notice `implementation` has no code, or is listed (or retired) already.
    error InvalidVersion(address implementation);

    function add(bytes32 kind, address implementation, string calldata version) external;
    function retire(bytes32 kind, address implementation) external;
    function isListed(bytes32 kind, address implementation) external view returns (bool);
    function requireListed(bytes32 kind, address implementation) external view;
}
