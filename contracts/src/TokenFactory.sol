// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {HubProxy} from "./base/HubProxy.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IComplianceEngine} from "./interfaces/IComplianceEngine.sol";
import {IRwaToken} from "./interfaces/IRwaToken.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

interface IRwaTokenInit {
    function initialize(IRwaToken.Setup calldata setup) external;
}

/// @title Deploys a token with its view, rules and agents in one transaction, at an address known beforehand
/// @notice The address depends on the deployer, the salt and the current token implementation, not on the terms.
/// Who: holders of DEPLOY create tokens; the owner (timelock) changes the implementation that new tokens get.
contract TokenFactory is HubUpgradeable {
    /// @param assetType Plain text for front ends, such as "bond"; likewise `isin` (may be empty).
    /// @param owner The token's owner: the issuer's timelock.
    /// @param salt Unique per deployer.
    /// @param agents Who gets which `rights` (bits of {Rights}).
    struct TokenTerms {
        string name;
        string symbol;
        string isin;
        string assetType;
        string salt;
        uint8 decimals;
        address onchainId;
        address owner;
        IComplianceEngine.RuleSet rules;
        uint16[] countries;
        address[] agents;
        uint256[] rights;
    }

    /// @custom:storage-location erc7201:rwahub.storage.TokenFactory
    struct FactoryStorage {
        address implementation;
        address policyImplementation;
        IComplianceEngine engine;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.TokenFactory")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant FACTORY_STORAGE = 0xd04e78c22838d00328462f0101f1bccb29fcd863e644402f41de331b81e87b00;

    /// @notice Everything a screen needs about a new token, in plain strings.
    event TokenDeployed(
        address indexed token,
        address indexed policy,
        address indexed deployer,
        address owner,
        address engine,
        string name,
        string symbol,
        uint8 decimals
    );
    /// @notice Emitted right after {TokenDeployed}.
    event TokenDescribed(address indexed token, string isin, string assetType, string salt);
    /// @dev ERC-3643 suites announce themselves like this; registries are the token's view and the engine.
    event TREXSuiteDeployed(
        address indexed _token, address _ir, address _irs, address _tir, address _ctr, address _mc, string indexed _salt
    );
    event ImplementationsSet(address indexed token, address indexed policy);

    error InvalidOwner();
    error InvalidImplementation();

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    /// @param token_ Implementation of new tokens; must be listed in the version registry, as must `policy_`.
    function initialize(address owner_, IComplianceEngine engine_, address token_, address policy_)
        external
        initializer
    {
        __Ownable_init(owner_);
        _factory().engine = engine_;
        _setImplementations(token_, policy_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("TokenFactory");
    }

    /// @notice Deploys a token. DEPLOY right. Reverts when the salt is used up, or as the token and engine do.
    function deployToken(TokenTerms calldata terms)
        external
        onlyRight(Rights.DEPLOY)
        returns (address token, address policy)
    {
        if (terms.owner == address(0)) revert InvalidOwner();
        FactoryStorage storage $ = _factory();
        bytes32 salt = _salt(msg.sender, terms.salt);
        token = Create2.deploy(0, salt, _proxyCode());
        policy = Clones.cloneDeterministicWithImmutableArgs(
            $.policyImplementation, abi.encode(token, address($.engine)), salt
        );
        _announce(terms, token, policy);
        $.engine.bindToken(token, terms.rules, terms.countries);
        IRwaTokenInit(token).initialize(_setup(terms, policy));
    }

    /// @notice Where {deployToken} by `deployer` with `salt` will put the token, while the implementation is the same.
    function predictAddress(address deployer, string calldata salt) external view returns (address) {
        return Create2.computeAddress(_salt(deployer, salt), keccak256(_proxyCode()));
    }

    function implementations() external view returns (address token, address policy) {
        return (_factory().implementation, _factory().policyImplementation);
    }

    function engine() external view returns (IComplianceEngine) {
        return _factory().engine;
    }

    /// @notice Sets what new tokens get. Owner only; both must be listed in the version registry.
    function setImplementations(address token_, address policy_) external onlyOwner {
        _setImplementations(token_, policy_);
    }

    function _setImplementations(address token_, address policy_) private {
        versions.requireListed(keccak256("RwaToken"), token_);
        versions.requireListed(keccak256("TokenPolicyView"), policy_);
        _factory().implementation = token_;
        _factory().policyImplementation = policy_;
        emit ImplementationsSet(token_, policy_);
    }

    function _setup(TokenTerms calldata terms, address policy) private pure returns (IRwaToken.Setup memory setup) {
        setup.name = terms.name;
        setup.symbol = terms.symbol;
        setup.decimals = terms.decimals;
        setup.onchainId = terms.onchainId;
        setup.policy = policy;
        setup.owner = terms.owner;
        setup.agents = terms.agents;
        setup.rights = terms.rights;
    }

    function _announce(TokenTerms calldata terms, address token, address policy) private {
        address engine_ = address(_factory().engine);
        emit TokenDeployed(token, policy, msg.sender, terms.owner, engine_, terms.name, terms.symbol, terms.decimals);
        emit TokenDescribed(token, terms.isin, terms.assetType, terms.salt);
        emit TREXSuiteDeployed(token, policy, engine_, policy, policy, policy, terms.salt);
    }

    function _salt(address deployer, string calldata salt) private pure returns (bytes32) {
        return keccak256(abi.encode(deployer, salt));
    }

    function _proxyCode() private view returns (bytes memory) {
        return abi.encodePacked(type(HubProxy).creationCode, abi.encode(_factory().implementation, ""));
    }

    function _factory() private pure returns (FactoryStorage storage $) {
        assembly {
            $.slot := FACTORY_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return Rights.DEPLOY;
    }
}
