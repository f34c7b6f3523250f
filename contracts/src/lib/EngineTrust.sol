// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IComplianceEngine} from "../interfaces/IComplianceEngine.sol";
import {Account} from "./AccountBits.sol";
import {EngineStore} from "./EngineStore.sol";

/// @title Who may attest, and the summary of an identity's attestations
/// @notice A linked library of {ComplianceEngine}, which checks the caller's rights; see {EngineRules} for why.
library EngineTrust {
    uint256 internal constant MAX_ISSUERS = 64;
    /// @dev An epoch of 255 never matches a cached one, so running out of epochs only costs gas.
    uint8 internal constant LAST_EPOCH = type(uint8).max;

    function add(address issuer, uint256[] calldata topics) external {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        if (issuer == address(0) || $.issuerTopics[issuer] != 0) revert IComplianceEngine.InvalidAddress();
        if ($.issuers.length == MAX_ISSUERS) revert IComplianceEngine.TooMany(MAX_ISSUERS);
        $.issuers.push(issuer);
        $.issuerTopics[issuer] = _mask(topics);
        emit IComplianceEngine.TrustedIssuerAdded(issuer, topics);
    }

    function update(address issuer, uint256[] calldata topics) external {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        _requireTrusted(issuer);
        $.issuerTopics[issuer] = _mask(topics);
        _raiseEpoch();
        emit IComplianceEngine.ClaimTopicsUpdated(issuer, topics);
    }

    function remove(address issuer) external {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        _requireTrusted(issuer);
        delete $.issuerTopics[issuer];
        uint256 k;
        while ($.issuers[k] != issuer) ++k;
        $.issuers[k] = $.issuers[$.issuers.length - 1];
        $.issuers.pop();
        _raiseEpoch();
        emit IComplianceEngine.TrustedIssuerRemoved(issuer);
    }

    /// @dev Summary of the valid attestations among `topics`, written to the identity's word.
    function recompute(address id, uint16 topics) external {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        uint16 valid = 0;
        uint32 earliest = type(uint32).max;
        for (uint256 topic = 0; topic < 16; ++topic) {
            if (topics & (1 << topic) == 0) continue;
            EngineStore.AttestationRecord storage a = $.attestations[id][topic];
            if (!isValid(a, topic)) continue;
            valid |= uint16(1 << topic);
            if (a.validUntil < earliest) earliest = a.validUntil;
        }
        $.accounts[id] = $.accounts[id].withAttestations(valid, valid == 0 ? 0 : earliest, $.epoch);
    }

    /// @dev Not expired, not revoked, and its issuer is still trusted with the topic.
    function isValid(EngineStore.AttestationRecord storage a, uint256 topic) internal view returns (bool) {
        return block.timestamp < a.validUntil && isTrusted(a.issuer, topic);
    }

    function isTrusted(address issuer, uint256 topic) internal view returns (bool) {
        return EngineStore.load().issuerTopics[issuer] & (1 << topic) != 0;
    }

    function _requireTrusted(address issuer) private view {
        if (EngineStore.load().issuerTopics[issuer] == 0) revert IComplianceEngine.IssuerNotTrusted(issuer, 0);
    }

    function _raiseEpoch() private {
        EngineStore.EngineStorage storage $ = EngineStore.load();
        if ($.epoch != LAST_EPOCH) ++$.epoch;
    }

    function _mask(uint256[] calldata topics) private pure returns (uint16 mask) {
        for (uint256 k = 0; k < topics.length; ++k) {
            if (topics[k] > 15) revert IComplianceEngine.InvalidTopic(topics[k]);
            mask |= uint16(1 << topics[k]);
        }
        if (mask == 0) revert IComplianceEngine.InvalidTopic(type(uint256).max);
    }
}
