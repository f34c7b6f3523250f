// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Account} from "./AccountBits.sol";
import {Rules} from "./RuleBits.sol";

/// @title What the engine stores; shared with the library that changes rules
library EngineStore {
    struct AttestationRecord {
        address issuer; // zero: revoked or never given
        uint32 validUntil;
        uint32 issuedAt; // of the last attestation, or the time of the last revocation
    }

    struct Lock {
        uint128 amount; // the wallet keeps at least this much
        uint64 until; // unix seconds
    }

    /// @custom:storage-location erc7201:rwahub.storage.ComplianceEngine
    struct EngineStorage {
        uint8 epoch; // raised whenever an issuer loses trust: cached attestations are then checked one by one
        mapping(address account => Account) accounts;
        mapping(address identity => address[]) moreWallets; // holding wallets beyond the first
        mapping(address identity => mapping(uint256 topic => AttestationRecord)) attestations;
        mapping(address issuer => uint16 topics) issuerTopics;
        address[] issuers;
        mapping(address token => Rules) rules;
        mapping(address token => mapping(uint256 word => uint256)) countries;
        mapping(address token => mapping(address wallet => Lock)) locks;
        mapping(address token => address[]) modules;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.ComplianceEngine")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant ENGINE_STORAGE = 0xbdfe56b135ff3b4cf4c7faca4d08ffb18223f8cf2dc740fa3d441a6faf181800;

    function load() internal pure returns (EngineStorage storage $) {
        assembly {
            $.slot := ENGINE_STORAGE
        }
    }
}
