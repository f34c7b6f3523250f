// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The cheat codes that our tests and scripts use
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function createDir(string calldata path, bool recursive) external;
    function deriveKey(string calldata mnemonic, uint32 index) external pure returns (uint256 key);
    function deal(address who, uint256 balance) external;
    function envOr(string calldata name, address fallback_) external view returns (address);
    function envOr(string calldata name, uint256 fallback_) external view returns (uint256);
    function envOr(string calldata name, bool fallback_) external view returns (bool);
    function envOr(string calldata name, string calldata fallback_) external view returns (string memory);
    function envOr(string calldata name, string calldata delimiter, address[] calldata fallback_)
        external
        view
        returns (address[] memory);
    function expectEmit() external;
    function expectEmit(address emitter) external;
    function expectPartialRevert(bytes4 selector) external;
    function expectRevert() external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function getCode(string calldata artifact) external view returns (bytes memory);
    function getRecordedLogs() external returns (Log[] memory);
    function isContext(uint8 context) external view returns (bool);
    function label(address who, string calldata name) external;
    function load(address who, bytes32 slot) external view returns (bytes32);
    function mockCall(address where, bytes calldata data, bytes calldata answer) external;
    function mockCallRevert(address where, bytes calldata data, bytes calldata answer) external;
    function parseJsonAddress(string calldata json, string calldata key) external pure returns (address);
    function prank(address who) external;
    function readFile(string calldata path) external view returns (string memory);
    function recordLogs() external;
    function roll(uint256 block_) external;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotGasLastCall(string calldata group, string calldata name) external returns (uint256);
    function snapshotGasLastCall(string calldata name) external returns (uint256);
    function startBroadcast() external;
    function startBroadcast(uint256 key) external;
    function startPrank(address who) external;
    function stopBroadcast() external;
    function stopPrank() external;
    function toString(address value) external pure returns (string memory);
    function toString(uint256 value) external pure returns (string memory);
    function warp(uint256 time) external;
    function writeFile(string calldata path, string calldata data) external;
}
