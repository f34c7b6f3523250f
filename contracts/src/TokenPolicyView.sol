// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IComplianceEngine} from "./interfaces/IComplianceEngine.sol";
import {IERC3643Compliance, IERC3643IdentityRegistry, IERC3643Trust} from "./interfaces/IERC3643.sol";
import {ITokenPolicyView} from "./interfaces/ITokenPolicyView.sol";

/// @title The engine as one token's ERC-3643 identity registry, trusted issuers registry, topics registry and compliance
/// @notice A clone per token without storage, so that tools written for ERC-3643 read our tokens. It answers questions
/// only; changes are made on the engine, whose address the refusal names.
contract TokenPolicyView is ITokenPolicyView, IERC3643Compliance, IERC3643IdentityRegistry, IERC3643Trust {
    /// @notice Only the token of this view may call.
    error NotToken(address account);
    /// @notice This view answers questions only; make the change on `engine`.
    error UseEngine(address engine);

    /// @notice The token this view speaks for.
    function token() public view returns (address token_) {
        (token_,) = _args();
    }

    /// @notice The engine behind it.
    function engine() public view returns (address engine_) {
        (, engine_) = _args();
    }

    // ---------------------------------------------------------------- identity registry

    /// @notice The engine, which emits the identity events.
    function identityStorage() external view returns (address) {
        return engine();
    }

    function issuersRegistry() external view returns (address) {
        return address(this);
    }

    function topicsRegistry() external view returns (address) {
        return address(this);
    }

    function contains(address wallet) external view returns (bool) {
        return _engine().contains(wallet);
    }

    /// @notice Registered, and attested as the token requires.
    function isVerified(address wallet) external view returns (bool) {
        return _engine().isVerified(token(), wallet);
    }

    function identity(address wallet) external view returns (address) {
        return _engine().identity(wallet);
    }

    function investorCountry(address wallet) external view returns (uint16) {
        return _engine().investorCountry(wallet);
    }

    // ---------------------------------------------------------------- trusted issuers and topics

    function getTrustedIssuers() external view returns (address[] memory) {
        return _engine().trustedIssuers();
    }

    function isTrustedIssuer(address issuer) external view returns (bool) {
        return _engine().trustedTopics(issuer) != 0;
    }

    function getTrustedIssuerClaimTopics(address issuer) external view returns (uint256[] memory) {
        return _topicList(_engine().trustedTopics(issuer));
    }

    /// @notice The topics this token requires.
    function getClaimTopics() external view returns (uint256[] memory) {
        return _topicList(_engine().requiredTopics(token()));
    }

    function getTrustedIssuersForClaimTopic(uint256 topic) external view returns (address[] memory issuers) {
        issuers = _engine().trustedIssuers();
        uint256 count;
        for (uint256 k = 0; k < issuers.length; ++k) {
            if (hasClaimTopic(issuers[k], topic)) issuers[count++] = issuers[k];
        }
        assembly ("memory-safe") {
            mstore(issuers, count)
        }
    }

    function hasClaimTopic(address issuer, uint256 topic) public view returns (bool) {
        return topic < 16 && _engine().trustedTopics(issuer) & (1 << topic) != 0;
    }

    // ---------------------------------------------------------------- compliance

    /// @notice Called by the token when it adopts this view.
    function bindToken(address token_) external {
        if (msg.sender != token() || token_ != msg.sender) revert NotToken(msg.sender);
        emit TokenBound(token_);
        emit IdentityStorageSet(engine());
        emit ClaimTopicsRegistrySet(address(this));
        emit TrustedIssuersRegistrySet(address(this));
    }

    /// @notice Called by the token when it leaves this view.
    function unbindToken(address token_) external {
        if (msg.sender != token() || token_ != msg.sender) revert NotToken(msg.sender);
        emit TokenUnbound(token_);
    }

    function isTokenBound(address token_) public view returns (bool) {
        return token_ == token() && _engine().isBound(token_);
    }

    function getTokenBound() external view returns (address) {
        return token();
    }

    /// @notice Whether the rules allow it; pause and freezes are the token's own.
    function canTransfer(address from, address to, uint256 amount) external view returns (bool) {
        return _engine().check(token(), from, to, amount) == IComplianceEngine.Reason.None;
    }

    // ---------------------------------------------------------------- the writing side lives in the engine

    function transferred(address, address, uint256) external view {
        revert UseEngine(engine());
    }

    function created(address, uint256) external view {
        revert UseEngine(engine());
    }

    function destroyed(address, uint256) external view {
        revert UseEngine(engine());
    }

    function registerIdentity(address, address, uint16) external view {
        revert UseEngine(engine());
    }

    function _topicList(uint16 mask) private pure returns (uint256[] memory topics) {
        topics = new uint256[](16);
        uint256 count;
        for (uint256 topic = 0; topic < 16; ++topic) {
            if (mask & (1 << topic) != 0) topics[count++] = topic;
        }
        assembly ("memory-safe") {
            mstore(topics, count)
        }
    }

    function _engine() private view returns (IComplianceEngine) {
        return IComplianceEngine(engine());
    }

    /// @dev The clone carries token and engine as immutable arguments.
    function _args() private view returns (address token_, address engine_) {
        return abi.decode(Clones.fetchCloneArgs(address(this)), (address, address));
    }
}
