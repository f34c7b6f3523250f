// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgentRights} from "./base/AgentRights.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

/// @title The list of implementations that proxies may be upgraded to
/// @notice Every upgrade of ours asks this list, so a stolen upgrade right alone cannot install unreviewed code.
/// @dev Not upgradeable itself. Adding is the owner's (timelock); retiring is immediate for a holder of REVOKE.
contract VersionRegistry is AgentRights, IVersionRegistry {
    struct Version {
        bytes32 codeHash; // zero: never listed
        bool retired;
    }

    mapping(bytes32 kind => mapping(address implementation => Version)) private _versions;

    constructor(address owner_) initializer {
        __Ownable_init(owner_);
    }

    /// @notice Lists `implementation` for `kind` (keccak256 of the contract's name). Owner only.
    /// @param version Plain text such as "1.0.0"; shown by front ends, not interpreted.
    function add(bytes32 kind, address implementation, string calldata version) external onlyOwner {
        Version storage v = _versions[kind][implementation];
        if (implementation.code.length == 0 || v.codeHash != 0) revert InvalidVersion(implementation);
        v.codeHash = implementation.codehash;
        emit VersionAdded(kind, implementation, version, implementation.codehash);
    }

    /// @notice Strikes `implementation` off for good. Owner, or a holder of REVOKE at once.
    function retire(bytes32 kind, address implementation) external {
        if (msg.sender != owner()) _checkRight(Rights.REVOKE);
        requireListed(kind, implementation);
        _versions[kind][implementation].retired = true;
        emit VersionRetired(kind, implementation);
    }

    function isListed(bytes32 kind, address implementation) public view returns (bool) {
        Version storage v = _versions[kind][implementation];
        return v.codeHash != 0 && !v.retired && v.codeHash == implementation.codehash;
    }

    function requireListed(bytes32 kind, address implementation) public view {
        if (!isListed(kind, implementation)) revert VersionNotListed(kind, implementation);
    }

    function _agentDefault() internal pure override returns (uint256) {
        return Rights.REVOKE;
    }
}
