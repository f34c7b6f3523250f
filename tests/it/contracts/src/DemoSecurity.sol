// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DemoCompliance} from "./DemoCompliance.sol";
import {DemoRegistry} from "./DemoRegistry.sol";

/// A permissioned token with the events of an ERC-3643 token in the layouts of
/// T-REX 4. It deliberately is one owner who is the only agent, with no proxy,
/// allowances by agents or batch calls. For demonstration only.
contract DemoSecurity {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event AddressFrozen(address indexed userAddress, bool indexed isFrozen, address indexed owner);
    event TokensFrozen(address indexed userAddress, uint256 amount);
    event TokensUnfrozen(address indexed userAddress, uint256 amount);
    event Paused(address userAddress);
    event Unpaused(address userAddress);
    event RecoverySuccess(address indexed lostWallet, address indexed newWallet, address indexed investorOnchainID);
    event UpdatedTokenInformation(
        string indexed newName,
        string indexed newSymbol,
        uint8 newDecimals,
        string newVersion,
        address indexed newOnchainID
    );
    event IdentityRegistryAdded(address indexed identityRegistry);
    event ComplianceAdded(address indexed compliance);
    event AgentAdded(address indexed agent);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    error NotAgent();
    error IsPaused();
    error IsFrozen(address wallet);
    error NotVerified(address wallet);
    error InsufficientFreeBalance(uint256 free, uint256 needed);
    error InsufficientFrozen(uint256 frozen, uint256 needed);
    error InsufficientAllowance(uint256 allowance, uint256 needed);

    string public constant version = "4.1.6";
    uint8 public constant decimals = 18;

    string public name;
    string public symbol;
    address public onchainID;
    address public immutable owner;
    DemoRegistry public immutable identityRegistry;
    DemoCompliance public immutable compliance;
    bool public paused;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => bool) public isFrozen;
    mapping(address => uint256) public getFrozenTokens;

    modifier onlyAgent() {
        if (msg.sender != owner) revert NotAgent();
        _;
    }

    constructor(string memory name_, string memory symbol_, DemoRegistry registry, DemoCompliance rules) {
        name = name_;
        symbol = symbol_;
        owner = msg.sender;
        identityRegistry = registry;
        compliance = rules;
        emit OwnershipTransferred(address(0), msg.sender);
        emit IdentityRegistryAdded(address(registry));
        rules.bindToken(address(this));
        emit ComplianceAdded(address(rules));
        emit UpdatedTokenInformation(name_, symbol_, decimals, version, address(0));
        emit AgentAdded(msg.sender);
    }

    // --- holders ---

    function transfer(address to, uint256 value) external returns (bool) {
        _checkedMove(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < value) revert InsufficientAllowance(allowed, value);
        allowance[from][msg.sender] = allowed - value;
        _checkedMove(from, to, value);
        return true;
    }

    // --- agent ---

    function mint(address to, uint256 value) external onlyAgent {
        if (!identityRegistry.isVerified(to)) revert NotVerified(to);
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function burn(address from, uint256 value) external onlyAgent {
        _release(from, value);
        balanceOf[from] -= value;
        totalSupply -= value;
        emit Transfer(from, address(0), value);
    }

    function forcedTransfer(address from, address to, uint256 value) external onlyAgent returns (bool) {
        if (!identityRegistry.isVerified(to)) revert NotVerified(to);
        _release(from, value);
        _move(from, to, value);
        return true;
    }

    function pause() external onlyAgent {
        paused = true;
        emit Paused(msg.sender);
    }

    function unpause() external onlyAgent {
        paused = false;
        emit Unpaused(msg.sender);
    }

    function setAddressFrozen(address wallet, bool frozen) external onlyAgent {
        _setAddressFrozen(wallet, frozen);
    }

    function freezePartialTokens(address wallet, uint256 value) external onlyAgent {
        uint256 free = balanceOf[wallet] - getFrozenTokens[wallet];
        if (free < value) revert InsufficientFreeBalance(free, value);
        getFrozenTokens[wallet] += value;
        emit TokensFrozen(wallet, value);
    }

    function unfreezePartialTokens(address wallet, uint256 value) external onlyAgent {
        uint256 frozen = getFrozenTokens[wallet];
        if (frozen < value) revert InsufficientFrozen(frozen, value);
        getFrozenTokens[wallet] = frozen - value;
        emit TokensUnfrozen(wallet, value);
    }

    function setOnchainID(address id) external onlyAgent {
        onchainID = id;
        emit UpdatedTokenInformation(name, symbol, decimals, version, id);
    }

    /// In the order of T-REX 4: unfreeze, move, freeze again, carry the flag over.
    function recoveryAddress(address lost, address fresh, address id) external onlyAgent returns (bool) {
        if (!identityRegistry.isVerified(fresh)) revert NotVerified(fresh);
        uint256 value = balanceOf[lost];
        uint256 frozen = getFrozenTokens[lost];
        _release(lost, value);
        _move(lost, fresh, value);
        if (frozen > 0) {
            getFrozenTokens[fresh] += frozen;
            emit TokensFrozen(fresh, frozen);
        }
        if (isFrozen[lost]) _setAddressFrozen(fresh, true);
        emit RecoverySuccess(lost, fresh, id);
        return true;
    }

    // --- shared ---

    function _checkedMove(address from, address to, uint256 value) private {
        if (paused) revert IsPaused();
        if (isFrozen[from]) revert IsFrozen(from);
        if (isFrozen[to]) revert IsFrozen(to);
        if (!identityRegistry.isVerified(to)) revert NotVerified(to);
        uint256 free = balanceOf[from] - getFrozenTokens[from];
        if (free < value) revert InsufficientFreeBalance(free, value);
        _move(from, to, value);
    }

    /// Unfreezes just as much as a move of `value` needs.
    function _release(address from, uint256 value) private {
        uint256 free = balanceOf[from] - getFrozenTokens[from];
        if (value > free) {
            getFrozenTokens[from] -= value - free;
            emit TokensUnfrozen(from, value - free);
        }
    }

    function _setAddressFrozen(address wallet, bool frozen) private {
        isFrozen[wallet] = frozen;
        emit AddressFrozen(wallet, frozen, msg.sender);
    }

    function _move(address from, address to, uint256 value) private {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}
