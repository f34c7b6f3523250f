// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Identities, attestations and transfer rules of all tokens of one deployment
interface IComplianceEngine {
    /// @notice Why a transfer is refused. `None` = allowed.
    enum Reason {
        None,
        TokenNotBound,
        SenderNotRegistered,
        SenderNotAttested,
        ReceiverNotRegistered,
        ReceiverNotAttested,
        CountryRefused,
        MaxBalanceExceeded,
        HolderCapReached,
        Locked,
        ModuleRefused
    }

    /// @notice How the country list of a token is used.
    enum CountryMode {
        Any,
        Allow,
        Block
    }

    /// @param maxBalance Smallest units per identity over all its wallets; 0 = no maximum.
    /// @param holderCap Most identities that may hold the token; 0 = no cap.
    /// @param requiredTopics Bit n set: receivers need a valid attestation of topic n.
    /// @param lockupSecs Seconds that minted tokens stay locked in the receiving wallet.
    /// @param countryMode What the country list means.
    /// @param senderAttested The sender needs the required attestations as well.
    struct RuleSet {
        uint128 maxBalance;
        uint32 holderCap;
        uint16 requiredTopics;
        uint32 lockupSecs;
        CountryMode countryMode;
        bool senderAttested;
    }

    /// @param identity Whom it is about (a wallet's own address when the wallet is its own identity).
    /// @param topic 0..15.
    /// @param validUntil Unix seconds; the attestation is valid before this time.
    /// @param issuedAt Unix seconds; must be later than the last attestation or revocation of the same topic.
    struct Attestation {
        address identity;
        uint8 topic;
        uint32 validUntil;
        uint32 issuedAt;
    }

    // ERC-3643 names and layout
    event IdentityRegistered(address indexed investorAddress, address indexed identity);
    event IdentityRemoved(address indexed investorAddress, address indexed identity);
    event IdentityUpdated(address indexed oldIdentity, address indexed newIdentity);
    event CountryUpdated(address indexed investorAddress, uint16 indexed country);
    event IdentityStored(address indexed investorAddress, address indexed identity);
    event IdentityUnstored(address indexed investorAddress, address indexed identity);
    event TrustedIssuerAdded(address indexed trustedIssuer, uint256[] claimTopics);
    event TrustedIssuerRemoved(address indexed trustedIssuer);
    event ClaimTopicsUpdated(address indexed trustedIssuer, uint256[] claimTopics);
    event ModuleAdded(address indexed token, address indexed module);
    event ModuleRemoved(address indexed token, address indexed module);

    // ours
    event WalletIdentityChanged(address indexed wallet, address indexed oldIdentity, address indexed newIdentity);
    event CustodySet(address indexed account, bool custody);
    event Attested(
        address indexed identity, uint8 indexed topic, address indexed issuer, uint32 validUntil, uint32 issuedAt
    );
    event AttestationRevoked(address indexed identity, uint8 indexed topic, address indexed by);
    event TopicNamed(uint8 indexed topic, string name);
    event TokenRulesBound(address indexed token);
    event TokenRulesUnbound(address indexed token);
    event RulesSet(
        address indexed token,
        address indexed by,
        uint128 maxBalance,
        uint32 holderCap,
        uint16 requiredTopics,
        uint32 lockupSecs,
        CountryMode countryMode,
        bool senderAttested
    );
    event CountryListed(address indexed token, uint16 indexed country, bool listed);
    event LockSet(address indexed token, address indexed wallet, uint256 amount, uint64 until);
    event HolderCountChanged(address indexed token, uint256 holders);
    event ModuleFailed(address indexed token, address indexed module);

    /// @notice The movement breaks a rule.
    error TransferRefused(Reason reason, address from, address to, uint256 amount);
    /// @notice The caller is not a bound token.
    error TokenNotBound(address token);
    error TokenAlreadyBound(address token);
    /// @notice A token with supply cannot be unbound: its holder count would be lost.
    error TokenHasSupply(address token, uint256 supply);
    error AlreadyRegistered(address wallet);
    error NotRegistered(address wallet);
    error InvalidAddress();
    /// @notice The wallet holds `tokens` different tokens; its identity cannot change until it holds none (see recovery).
    error WalletHoldsTokens(address wallet, uint256 tokens);
    /// @notice `account` serves as an identity of other wallets, or `account` is a wallet of another identity.
    error AddressIsIdentity(address account);
    /// @notice ISO 3166-1 numeric codes are below 1000.
    error InvalidCountry(uint16 country);
    error InvalidTopic(uint256 topic);
    error LengthMismatch();
    error IssuerNotTrusted(address issuer, uint8 topic);
    error InvalidSignature();
    /// @notice Already expired, dated in the future, or not newer than what is recorded.
    error StaleAttestation(uint32 validUntil, uint32 issuedAt);
    error NoAttestation(address identity, uint8 topic);
    error NotTokenOwner(address account);
    /// @notice The change allows something that was refused before; only the token's owner (timelock) may do that.
    error LooseningNeedsOwner();
    error InvalidLock();
    error InvalidModule(address module);
    error TooMany(uint256 limit);
    /// @notice The two wallets are not of the same identity.
    error IdentityMismatch(address a, address b);

    // called by bound tokens
    function onTransfer(address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore) external;
    function onForced(address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore) external;
    function onMint(address to, uint256 amount, uint256 toBefore) external;
    function onBurn(address from, uint256 amount, uint256 fromBefore) external;
    function onRecovery(address lost, address next, address identity, uint256 amount, uint256 nextBefore) external;

    function bindToken(address token, RuleSet calldata rules, uint16[] calldata countries) external;
    function isBound(address token) external view returns (bool);
    function check(address token, address from, address to, uint256 amount) external view returns (Reason);
    function isVerified(address token, address wallet) external view returns (bool);
    function canReceive(address token, address wallet) external view returns (bool);
    function canSend(address token, address wallet) external view returns (bool);
    function contains(address wallet) external view returns (bool);
    function identity(address wallet) external view returns (address);
    function investorCountry(address wallet) external view returns (uint16);
    function requiredTopics(address token) external view returns (uint16);
    function trustedIssuers() external view returns (address[] memory);
    function trustedTopics(address issuer) external view returns (uint16);
}
