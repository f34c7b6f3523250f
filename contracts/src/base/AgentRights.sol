// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Ownable2StepUpgradeable} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {IAgentRights} from "../interfaces/IAgentRights.sol";
import {Rights} from "../lib/Rights.sol";

/// @title Owner plus agents with separate rights
/// @notice The owner (a timelock) grants; the owner, a holder of REVOKE, or the agent itself takes away at once.
abstract contract AgentRights is Ownable2StepUpgradeable, IAgentRights {
    /// @custom:storage-location erc7201:rwahub.storage.AgentRights
    struct AgentRightsStorage {
        mapping(address agent => uint256) rights;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.AgentRights")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant AGENT_RIGHTS_STORAGE = 0x8565a0c03f3b9908618f3021fad8bfae1f6672cd5920f11c47c0ff094db90b00;

    /// @notice Ownership can be handed over in two steps but never dropped: nobody could upgrade or loosen any more.
    error OwnershipCannotBeRenounced();

    function _agentRights() private pure returns (AgentRightsStorage storage $) {
        assembly {
            $.slot := AGENT_RIGHTS_STORAGE
        }
    }

    modifier onlyRight(uint256 right) {
        _checkRight(right);
        _;
    }

    /// @notice Gives `agent` the rights an ERC-3643 agent has on this kind of contract. Owner only.
    function addAgent(address agent) external onlyOwner {
        _setRights(agent, rightsOf(agent) | _agentDefault());
    }

    /// @notice Takes every right from `agent`. Owner, a holder of REVOKE, or the agent itself.
    function removeAgent(address agent) external {
        _checkRevoker(agent);
        _setRights(agent, 0);
    }

    /// @notice Adds `rights` to what `agent` holds. Owner only.
    function grantRights(address agent, uint256 rights) external onlyOwner {
        if (rights == 0) revert InvalidRights(rights);
        _setRights(agent, rightsOf(agent) | rights);
    }

    /// @notice Removes `rights` from what `agent` holds, at once. Owner, a holder of REVOKE, or the agent itself.
    function revokeRights(address agent, uint256 rights) external {
        _checkRevoker(agent);
        _setRights(agent, rightsOf(agent) & ~rights);
    }

    function rightsOf(address agent) public view returns (uint256) {
        return _agentRights().rights[agent];
    }

    /// @return True when `agent` holds every bit of `right`.
    function hasRight(address agent, uint256 right) public view returns (bool) {
        return rightsOf(agent) & right == right;
    }

    function isAgent(address agent) external view returns (bool) {
        return rightsOf(agent) != 0;
    }

    /// @dev Ownership is two-step ({transferOwnership}, {acceptOwnership}) and cannot be dropped.
    function renounceOwnership() public view override onlyOwner {
        revert OwnershipCannotBeRenounced();
    }

    function _checkRight(uint256 right) internal view {
        if (!hasRight(msg.sender, right)) revert MissingRight(msg.sender, right);
    }

    function _checkRevoker(address agent) private view {
        if (msg.sender == owner() || msg.sender == agent) return;
        _checkRight(Rights.REVOKE);
    }

    function _setRights(address agent, uint256 rights) internal {
        if (agent == address(0)) revert InvalidAgent();
        if (rights & ~Rights.ALL != 0) revert InvalidRights(rights);
        AgentRightsStorage storage $ = _agentRights();
        uint256 old = $.rights[agent];
        $.rights[agent] = rights;
        if (old == 0 && rights != 0) emit AgentAdded(agent);
        if (old != 0 && rights == 0) emit AgentRemoved(agent);
        emit AgentRightsSet(agent, rights, msg.sender);
    }

    /// @dev The rights that the ERC-3643 function {addAgent} gives.
    function _agentDefault() internal pure virtual returns (uint256);
}
