// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-3643 agent role
interface IAgentRole {
    event AgentAdded(address indexed _agent);
    event AgentRemoved(address indexed _agent);

    function addAgent(address _agent) external;
    function removeAgent(address _agent) external;
    function isAgent(address _agent) external view returns (bool);
}

/// @title Agents with separate rights (bits of {Rights})
interface IAgentRights is IAgentRole {
    /// @notice The rights of `agent` are now exactly `rights`.
    event AgentRightsSet(address indexed agent, uint256 rights, address indexed by);

    /// @notice `account` lacks `right` (a bit of {Rights}).
    error MissingRight(address account, uint256 right);
    /// @notice `rights` holds bits that are not defined, or none.
    error InvalidRights(uint256 rights);
    /// @notice The zero address cannot be an agent.
    error InvalidAgent();

    function grantRights(address agent, uint256 rights) external;
    function revokeRights(address agent, uint256 rights) external;
    function rightsOf(address agent) external view returns (uint256);
    function hasRight(address agent, uint256 right) external view returns (bool);
}
