// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The rights an agent can hold, one bit each
/// @notice A contract stores one word per agent. Granting a right needs the owner (the timelock); taking one away is immediate.
library Rights {
    /// @dev Token: mint, and burn from any wallet (the latter with a case id).
    uint256 internal constant SUPPLY = 1 << 0;
    /// @dev Token: freeze and release wallets and amounts.
    uint256 internal constant FREEZE = 1 << 1;
    /// @dev Token: forced transfers, with a case id.
    uint256 internal constant FORCE = 1 << 2;
    /// @dev Token: move the holdings of a lost wallet, with a case id.
    uint256 internal constant RECOVER = 1 << 3;
    /// @dev Token: pause and resume holder transfers.
    uint256 internal constant PAUSE = 1 << 4;
    /// @dev Pause only. The guardian holds this and nothing else, so it cannot resume what it stopped.
    uint256 internal constant GUARD = 1 << 5;
    /// @dev Engine: register, update and delete investors, revoke attestations.
    uint256 internal constant KYC = 1 << 6;
    /// @dev Token: tighten the rules of this token and set locks; loosening needs the owner.
    uint256 internal constant RULES = 1 << 7;
    /// @dev Take rights from other agents, remove trusted issuers, retire versions: only ever reduces power.
    uint256 internal constant REVOKE = 1 << 8;
    /// @dev Token: maintain its documents.
    uint256 internal constant DOCUMENTS = 1 << 9;
    /// @dev Token: create and sweep distributions.
    uint256 internal constant PAYOUT = 1 << 10;
    /// @dev Token: create, allocate and finalise offerings.
    uint256 internal constant OFFER = 1 << 11;
    /// @dev Token: price and fulfil redemption requests.
    uint256 internal constant REDEEM = 1 << 12;
    /// @dev Factory: deploy tokens.
    uint256 internal constant DEPLOY = 1 << 13;
    /// @dev Engine: bind a new token; held by the factory.
    uint256 internal constant BIND = 1 << 14;

    /// @dev What ERC-3643 gives a token agent: everything an agent of that standard may do, nothing more.
    uint256 internal constant ERC3643_AGENT = SUPPLY | FREEZE | FORCE | RECOVER | PAUSE;
    /// @dev Every defined bit; a grant with any other bit is refused.
    uint256 internal constant ALL = (1 << 15) - 1;
}
