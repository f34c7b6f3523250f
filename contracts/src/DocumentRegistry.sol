// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EnumerableSet} from "@openzeppelin/contracts/utils/structs/EnumerableSet.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IAgentRights} from "./interfaces/IAgentRights.sol";
import {IDocumentRegistry} from "./interfaces/IERC1643.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

/// @title Documents of all tokens: name to URI and hash, with a version that only grows
/// @notice A token's documents change through the token (ERC-1643) or here; both need its DOCUMENTS right.
contract DocumentRegistry is HubUpgradeable, IDocumentRegistry {
    using EnumerableSet for EnumerableSet.Bytes32Set;

    struct Document {
        string uri;
        bytes32 hash;
        uint64 lastModified; // unix seconds
        uint64 version; // 1 for the first; kept when withdrawn, so versions never repeat
    }

    /// @custom:storage-location erc7201:rwahub.storage.DocumentRegistry
    struct DocumentStorage {
        mapping(address token => mapping(bytes32 name => Document)) documents;
        mapping(address token => EnumerableSet.Bytes32Set) names;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.DocumentRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant DOCUMENT_STORAGE = 0x4fe678e126cd136330748e81107b9850d4c4de758fdf87dc9209a7b037484800;

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("DocumentRegistry");
    }

    /// @notice Adds or replaces a document of `token`. A holder of the token's DOCUMENTS right.
    function setDocument(address token, bytes32 name, string calldata uri, bytes32 documentHash) external {
        _checkAgent(token, msg.sender);
        _set(token, name, uri, documentHash, msg.sender);
    }

    /// @notice Withdraws a document of `token`. A holder of the token's DOCUMENTS right.
    function removeDocument(address token, bytes32 name) external {
        _checkAgent(token, msg.sender);
        _remove(token, name, msg.sender);
    }

    /// @notice {setDocument} called by the token itself, for `by`, whose right the token checked.
    function set(address token, bytes32 name, string calldata uri, bytes32 documentHash, address by) external {
        if (msg.sender != token) revert NotDocumentAgent(token, msg.sender);
        _set(token, name, uri, documentHash, by);
    }

    /// @notice {removeDocument} called by the token itself, for `by`, whose right the token checked.
    function remove(address token, bytes32 name, address by) external returns (string memory, bytes32) {
        if (msg.sender != token) revert NotDocumentAgent(token, msg.sender);
        return _remove(token, name, by);
    }

    /// @notice Empty values when there is no such document.
    function get(address token, bytes32 name) external view returns (string memory, bytes32, uint256) {
        DocumentStorage storage $ = _store();
        if (!$.names[token].contains(name)) return ("", bytes32(0), 0);
        Document storage d = $.documents[token][name];
        return (d.uri, d.hash, d.lastModified);
    }

    function names(address token) external view returns (bytes32[] memory) {
        return _store().names[token].values();
    }

    /// @notice How often the document was set; 0 when never.
    function versionOf(address token, bytes32 name) external view returns (uint256) {
        return _store().documents[token][name].version;
    }

    function _set(address token, bytes32 name, string calldata uri, bytes32 documentHash, address by) private {
        if (name == bytes32(0) || bytes(uri).length == 0) revert InvalidDocument();
        DocumentStorage storage $ = _store();
        Document storage d = $.documents[token][name];
        d.uri = uri;
        d.hash = documentHash;
        d.lastModified = uint64(block.timestamp);
        uint64 version = d.version + 1;
        d.version = version;
        $.names[token].add(name);
        emit DocumentSet(token, name, version, uri, documentHash, by);
    }

    function _remove(address token, bytes32 name, address by)
        private
        returns (string memory uri, bytes32 documentHash)
    {
        DocumentStorage storage $ = _store();
        if (!$.names[token].remove(name)) revert UnknownDocument(token, name);
        Document storage d = $.documents[token][name];
        (uri, documentHash) = (d.uri, d.hash);
        emit DocumentWithdrawn(token, name, d.version, uri, documentHash, by);
    }

    function _checkAgent(address token, address account) private view {
        if (!IAgentRights(token).hasRight(account, Rights.DOCUMENTS)) revert NotDocumentAgent(token, account);
    }

    function _store() private pure returns (DocumentStorage storage $) {
        assembly {
            $.slot := DOCUMENT_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return Rights.DOCUMENTS;
    }
}
