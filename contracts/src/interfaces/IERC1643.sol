// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-1643: documents of a token
interface IERC1643 {
    event DocumentUpdated(bytes32 indexed _name, string _uri, bytes32 _documentHash);
    event DocumentRemoved(bytes32 indexed _name, string _uri, bytes32 _documentHash);

    function getDocument(bytes32 _name)
        external
        view
        returns (string memory uri, bytes32 documentHash, uint256 lastModified);
    function setDocument(bytes32 _name, string calldata _uri, bytes32 _documentHash) external;
    function removeDocument(bytes32 _name) external;
    function getAllDocuments() external view returns (bytes32[] memory);
}

/// @title One registry of documents for all tokens, with versions
interface IDocumentRegistry {
    event DocumentSet(
        address indexed token,
        bytes32 indexed name,
        uint256 version,
        string uri,
        bytes32 documentHash,
        address indexed by
    );
    event DocumentWithdrawn(
        address indexed token,
        bytes32 indexed name,
        uint256 version,
        string uri,
        bytes32 documentHash,
        address indexed by
    );

    /// @notice The token has no document of that name.
    error UnknownDocument(address token, bytes32 name);
    error InvalidDocument();
    /// @notice Only the token itself or a holder of its DOCUMENTS right may change its documents.
    error NotDocumentAgent(address token, address account);

    function set(address token, bytes32 name, string calldata uri, bytes32 documentHash, address by) external;
    function remove(address token, bytes32 name, address by) external returns (string memory uri, bytes32 documentHash);
    function get(address token, bytes32 name)
        external
        view
        returns (string memory uri, bytes32 documentHash, uint256 lastModified);
    function names(address token) external view returns (bytes32[] memory);
}
