// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {AgentRights} from "./AgentRights.sol";
import {IVersionRegistry} from "../interfaces/IVersionRegistry.sol";

/// @title What every upgradeable contract of the suite shares
/// @notice UUPS; an upgrade needs the owner (the timelock) and an implementation that the version registry lists.
abstract contract HubUpgradeable is AgentRights, UUPSUpgradeable {
    /// @dev In the code, not in storage: an upgrade to an implementation with another list needs the old list's consent.
    IVersionRegistry public immutable versions;

    constructor(IVersionRegistry versions_) {
        versions = versions_;
        _disableInitializers();
    }

    /// @notice keccak256 of the contract's name; the key in the version registry.
    function kind() public pure virtual returns (bytes32);

    function _authorizeUpgrade(address implementation) internal view override onlyOwner {
        versions.requireListed(kind(), implementation);
    }
}
