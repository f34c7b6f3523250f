// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {NoncesUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/NoncesUpgradeable.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IComplianceEngine} from "./interfaces/IComplianceEngine.sol";
import {IDocumentRegistry, IERC1643} from "./interfaces/IERC1643.sol";
import {IERC3643, IERC3643Compliance} from "./interfaces/IERC3643.sol";
import {IERC7943Fungible} from "./interfaces/IERC7943.sol";
import {IRwaToken} from "./interfaces/IRwaToken.sol";
import {ITokenPolicyView} from "./interfaces/ITokenPolicyView.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Holding, HoldingBits} from "./lib/HoldingBits.sol";
import {Rights} from "./lib/Rights.sol";

/// @title A permissioned token for a real-world asset
/// @notice ERC-20 with ERC-2612 permits that answers the whole interface of ERC-3643, and ERC-7943 and ERC-1643. Who may
/// hold it and in what limits is the {ComplianceEngine}'s; freezes, pause and forced actions are the token's.
/// Amounts are in smallest units everywhere. The supply fits 128 bits.
/// Who: agents by right (bits of {Rights}); the owner (timelock) grants rights, renames and upgrades.
/// Forced actions (forced transfer, recovery, burn from another wallet) need a case id; freezes note one when given.
contract RwaToken is
    HubUpgradeable,
    EIP712Upgradeable,
    NoncesUpgradeable,
    IERC20Metadata,
    IERC20Permit,
    IERC20Errors,
    IERC3643,
    IERC7943Fungible,
    IERC1643,
    IRwaToken
{
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    uint8 public constant MAX_DECIMALS = 18;

    /// @custom:storage-location erc7201:rwahub.storage.RwaToken
    struct TokenStorage {
        IComplianceEngine engine; // first word: all a transfer reads besides two holdings
        bool paused;
        uint8 decimals;
        address policy;
        uint256 totalSupply;
        mapping(address account => Holding) holdings;
        mapping(address owner => mapping(address spender => uint256)) allowances;
        mapping(address agent => bytes32) openCases;
        string name;
        string symbol;
        address onchainId;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.RwaToken")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant TOKEN_STORAGE = 0x9f62b89e652e15d828e4eecef5dab461313bb4d86694e31d706bc8d00f300800;

    IDocumentRegistry public immutable documentRegistry;

    constructor(IVersionRegistry versions_, IDocumentRegistry documents_) HubUpgradeable(versions_) {
        documentRegistry = documents_;
    }

    /// @notice Called once by the factory, in the transaction that deploys the proxy.
    function initialize(Setup calldata setup) external initializer {
        __Ownable_init(setup.owner);
        if (bytes(setup.name).length == 0 || bytes(setup.symbol).length == 0) revert InvalidName();
        if (setup.decimals > MAX_DECIMALS) revert InvalidDecimals(setup.decimals);
        if (setup.agents.length != setup.rights.length) revert LengthMismatch();
        TokenStorage storage $ = _token();
        $.name = setup.name;
        $.symbol = setup.symbol;
        $.decimals = setup.decimals;
        if (setup.onchainId != address(0)) $.onchainId = setup.onchainId;
        for (uint256 k = 0; k < setup.agents.length; ++k) {
            _setRights(setup.agents[k], setup.rights[k]);
        }
        _emitInformation();
        _setPolicy(setup.policy);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("RwaToken");
    }

    // ---------------------------------------------------------------- ERC-20

    function name() external view returns (string memory) {
        return _token().name;
    }

    function symbol() external view returns (string memory) {
        return _token().symbol;
    }

    function decimals() external view returns (uint8) {
        return _token().decimals;
    }

    function totalSupply() external view returns (uint256) {
        return _token().totalSupply;
    }

    function balanceOf(address account) external view returns (uint256) {
        return _token().holdings[account].balance();
    }

    function allowance(address owner_, address spender) external view returns (uint256) {
        return _token().allowances[owner_][spender];
    }

    /// @notice Moves `amount` to `to`. Reverts: {EnforcedPause}, {ERC7943CannotSend} or {ERC7943CannotReceive} (wallet
    /// frozen), {ERC20InsufficientBalance}, {ERC7943InsufficientUnfrozenBalance}, and the engine's TransferRefused(reason).
    function transfer(address to, uint256 amount) external returns (bool) {
        _transfer(msg.sender, to, amount);
        return true;
    }

    /// @notice As {transfer}, on an allowance. A frozen wallet cannot spend another's allowance either.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        TokenStorage storage $ = _token();
        if (msg.sender != from) {
            if ($.holdings[msg.sender].isFrozen()) revert ERC7943CannotSend(msg.sender);
            uint256 allowed = $.allowances[from][msg.sender];
            if (allowed != type(uint256).max) {
                if (allowed < amount) revert ERC20InsufficientAllowance(msg.sender, allowed, amount);
                unchecked {
                    $.allowances[from][msg.sender] = allowed - amount;
                }
            }
        }
        _transfer(from, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        _approve(msg.sender, spender, amount);
        return true;
    }

    /// @notice Sends to several receivers; reverts as a whole.
    function batchTransfer(address[] calldata toList, uint256[] calldata amounts) external {
        _sameLength(toList.length, amounts.length);
        for (uint256 k = 0; k < toList.length; ++k) {
            _transfer(msg.sender, toList[k], amounts[k]);
        }
    }

    // ---------------------------------------------------------------- ERC-2612

    /// @inheritdoc IERC20Permit
    function permit(address owner_, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
    {
        if (block.timestamp > deadline) revert PermitExpired(deadline);
        bytes32 structHash = keccak256(abi.encode(PERMIT_TYPEHASH, owner_, spender, value, _useNonce(owner_), deadline));
        address signer = ECDSA.recover(_hashTypedDataV4(structHash), v, r, s);
        if (signer != owner_) revert InvalidSigner(signer, owner_);
        _approve(owner_, spender, value);
    }

    function nonces(address owner_) public view override(NoncesUpgradeable, IERC20Permit) returns (uint256) {
        return super.nonces(owner_);
    }

    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---------------------------------------------------------------- questions

    function onchainID() external view returns (address) {
        return _token().onchainId;
    }

    function version() external pure returns (string memory) {
        return _version();
    }

    function paused() external view returns (bool) {
        return _token().paused;
    }

    /// @notice The token's {TokenPolicyView}, which answers as ERC-3643 identity registry.
    function identityRegistry() external view returns (address) {
        return _token().policy;
    }

    /// @notice The token's {TokenPolicyView}, which answers as ERC-3643 compliance.
    function compliance() external view returns (address) {
        return _token().policy;
    }

    function engine() external view returns (IComplianceEngine) {
        return _token().engine;
    }

    /// @notice Whether the whole wallet is frozen.
    function isFrozen(address account) external view returns (bool) {
        return _token().holdings[account].isFrozen();
    }

    /// @notice The frozen amount; may exceed the balance, so tokens that arrive later are frozen too.
    function getFrozenTokens(address account) external view override(IERC3643, IERC7943Fungible) returns (uint256) {
        return _token().holdings[account].frozen();
    }

    /// @notice What `account` could move now if nothing but freezes counted.
    function freeBalanceOf(address account) external view returns (uint256) {
        Holding h = _token().holdings[account];
        return h.isFrozen() ? 0 : h.free();
    }

    function canSend(address account) public view returns (bool) {
        TokenStorage storage $ = _token();
        return !$.holdings[account].isFrozen() && $.engine.canSend(address(this), account);
    }

    function canReceive(address account) public view returns (bool) {
        TokenStorage storage $ = _token();
        return !$.holdings[account].isFrozen() && $.engine.canReceive(address(this), account);
    }

    /// @dev The name of {canSend} and {canReceive} together in earlier drafts of ERC-7943.
    function canTransact(address account) external view returns (bool) {
        return canSend(account) && canReceive(account);
    }

    /// @notice Whether {transfer} would succeed now. For the reason ask `engine().check` after pause and freezes.
    function canTransfer(address from, address to, uint256 amount) external view returns (bool) {
        TokenStorage storage $ = _token();
        Holding f = $.holdings[from];
        if ($.paused || from == address(0) || to == address(0) || amount > f.free()) return false;
        if (f.isFrozen() || $.holdings[to].isFrozen()) return false;
        return $.engine.check(address(this), from, to, amount) == IComplianceEngine.Reason.None;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IERC165).interfaceId || id == type(IERC20).interfaceId
            || id == type(IERC20Metadata).interfaceId || id == type(IERC20Permit).interfaceId
            || id == type(IERC7943Fungible).interfaceId || id == type(IERC3643).interfaceId
            || id == type(IERC1643).interfaceId;
    }

    /// @notice The case under which forced actions of `agent` count when no case is given.
    function openCaseOf(address agent) external view returns (bytes32) {
        return _token().openCases[agent];
    }

    // ---------------------------------------------------------------- supply (SUPPLY right)

    /// @notice Creates `amount` for an eligible receiver. Works while paused.
    function mint(address to, uint256 amount) external onlyRight(Rights.SUPPLY) {
        _mint(to, amount);
    }

    function batchMint(address[] calldata toList, uint256[] calldata amounts) external onlyRight(Rights.SUPPLY) {
        _sameLength(toList.length, amounts.length);
        for (uint256 k = 0; k < toList.length; ++k) {
            _mint(toList[k], amounts[k]);
        }
    }

    /// @notice Destroys `amount` of `account`, frozen or not. Needs a case, unless the agent burns its own tokens.
    function burn(address account, uint256 amount) external onlyRight(Rights.SUPPLY) {
        _burn(account, amount, _token().openCases[msg.sender]);
    }

    /// @notice {burn} under an explicit case.
    function burn(address account, uint256 amount, bytes32 caseId) external onlyRight(Rights.SUPPLY) {
        _burn(account, amount, caseId);
    }

    function batchBurn(address[] calldata accounts, uint256[] calldata amounts) external onlyRight(Rights.SUPPLY) {
        _sameLength(accounts.length, amounts.length);
        bytes32 caseId = _token().openCases[msg.sender];
        for (uint256 k = 0; k < accounts.length; ++k) {
            _burn(accounts[k], amounts[k], caseId);
        }
    }

    // ---------------------------------------------------------------- enforcement

    /// @notice Sets the case under which the caller's forced actions count from now on; zero closes it. Any agent.
    function openCase(bytes32 caseId) external {
        if (rightsOf(msg.sender) == 0) revert MissingRight(msg.sender, Rights.FORCE);
        _token().openCases[msg.sender] = caseId;
        emit CaseOpened(msg.sender, caseId);
    }

    /// @notice Moves `amount`, frozen or not, to an eligible receiver under the caller's open case. FORCE right. What was
    /// frozen of it is unfrozen.
    function forcedTransfer(address from, address to, uint256 amount)
        external
        override(IERC3643, IERC7943Fungible)
        onlyRight(Rights.FORCE)
        returns (bool)
    {
        _forcedTransfer(from, to, amount, _token().openCases[msg.sender]);
        return true;
    }

    /// @notice {forcedTransfer} under an explicit case.
    function forcedTransfer(address from, address to, uint256 amount, bytes32 caseId)
        external
        onlyRight(Rights.FORCE)
        returns (bool)
    {
        _forcedTransfer(from, to, amount, caseId);
        return true;
    }

    function batchForcedTransfer(address[] calldata fromList, address[] calldata toList, uint256[] calldata amounts)
        external
        onlyRight(Rights.FORCE)
    {
        _sameLength(fromList.length, amounts.length);
        _sameLength(toList.length, amounts.length);
        bytes32 caseId = _token().openCases[msg.sender];
        for (uint256 k = 0; k < fromList.length; ++k) {
            _forcedTransfer(fromList[k], toList[k], amounts[k], caseId);
        }
    }

    /// @notice Moves everything of a lost wallet, with its freezes and lock, to another registered wallet of the same
    /// identity, and freezes the lost one. RECOVER right.
    /// @param investorOnchainID The identity of both wallets.
    function recoveryAddress(address lost, address next, address investorOnchainID)
        external
        onlyRight(Rights.RECOVER)
        returns (bool)
    {
        _recover(lost, next, investorOnchainID, _token().openCases[msg.sender]);
        return true;
    }

    /// @notice {recoveryAddress} under an explicit case.
    function recoveryAddress(address lost, address next, address investorOnchainID, bytes32 caseId)
        external
        onlyRight(Rights.RECOVER)
        returns (bool)
    {
        _recover(lost, next, investorOnchainID, caseId);
        return true;
    }

    // ---------------------------------------------------------------- freezes (FREEZE right)

    function setAddressFrozen(address account, bool freeze) external onlyRight(Rights.FREEZE) {
        _setAddressFrozen(account, freeze, _token().openCases[msg.sender]);
    }

    /// @notice {setAddressFrozen} under an explicit case.
    function setAddressFrozen(address account, bool freeze, bytes32 caseId) external onlyRight(Rights.FREEZE) {
        _setAddressFrozen(account, freeze, caseId);
    }

    function batchSetAddressFrozen(address[] calldata accounts, bool[] calldata freeze)
        external
        onlyRight(Rights.FREEZE)
    {
        _sameLength(accounts.length, freeze.length);
        bytes32 caseId = _token().openCases[msg.sender];
        for (uint256 k = 0; k < accounts.length; ++k) {
            _setAddressFrozen(accounts[k], freeze[k], caseId);
        }
    }

    /// @notice Freezes `amount` more. May exceed the balance: moving tokens away first does not dodge it.
    function freezePartialTokens(address account, uint256 amount) external onlyRight(Rights.FREEZE) {
        _freezeMore(account, amount, _token().openCases[msg.sender]);
    }

    function batchFreezePartialTokens(address[] calldata accounts, uint256[] calldata amounts)
        external
        onlyRight(Rights.FREEZE)
    {
        _sameLength(accounts.length, amounts.length);
        bytes32 caseId = _token().openCases[msg.sender];
        for (uint256 k = 0; k < accounts.length; ++k) {
            _freezeMore(accounts[k], amounts[k], caseId);
        }
    }

    /// @notice Releases `amount` of what is frozen. Reverts: {InsufficientFrozen}.
    function unfreezePartialTokens(address account, uint256 amount) external onlyRight(Rights.FREEZE) {
        _freezeLess(account, amount, _token().openCases[msg.sender]);
    }

    function batchUnfreezePartialTokens(address[] calldata accounts, uint256[] calldata amounts)
        external
        onlyRight(Rights.FREEZE)
    {
        _sameLength(accounts.length, amounts.length);
        bytes32 caseId = _token().openCases[msg.sender];
        for (uint256 k = 0; k < accounts.length; ++k) {
            _freezeLess(accounts[k], amounts[k], caseId);
        }
    }

    /// @notice Sets the frozen amount to exactly `amount` (ERC-7943).
    function setFrozenTokens(address account, uint256 amount) external onlyRight(Rights.FREEZE) returns (bool) {
        _setFrozen(account, amount);
        _note(_token().openCases[msg.sender], account, IERC7943Fungible.setFrozenTokens.selector);
        return true;
    }

    /// @notice {setFrozenTokens} under an explicit case.
    function setFrozenTokens(address account, uint256 amount, bytes32 caseId)
        external
        onlyRight(Rights.FREEZE)
        returns (bool)
    {
        _setFrozen(account, amount);
        _note(caseId, account, IERC7943Fungible.setFrozenTokens.selector);
        return true;
    }

    // ---------------------------------------------------------------- pause

    /// @notice Stops holder transfers; mints, burns and forced actions still work. PAUSE right, or GUARD (the guardian).
    function pause() external {
        if (!hasRight(msg.sender, Rights.GUARD)) _checkRight(Rights.PAUSE);
        TokenStorage storage $ = _token();
        if ($.paused) revert EnforcedPause();
        $.paused = true;
        emit Paused(msg.sender);
    }

    /// @notice Resumes holder transfers. PAUSE right; the guardian cannot.
    function unpause() external onlyRight(Rights.PAUSE) {
        TokenStorage storage $ = _token();
        if (!$.paused) revert ExpectedPause();
        $.paused = false;
        emit Unpaused(msg.sender);
    }

    // ---------------------------------------------------------------- owner

    /// @notice Renames the token; open permits become void, since the name is part of their domain.
    function setName(string calldata name_) external onlyOwner {
        if (bytes(name_).length == 0) revert InvalidName();
        _token().name = name_;
        _emitInformation();
    }

    function setSymbol(string calldata symbol_) external onlyOwner {
        if (bytes(symbol_).length == 0) revert InvalidName();
        _token().symbol = symbol_;
        _emitInformation();
    }

    function setOnchainID(address onchainId_) external onlyOwner {
        _token().onchainId = onchainId_;
        _emitInformation();
    }

    /// @notice Points the token to another {TokenPolicyView} (registry and compliance are one). With supply outstanding
    /// the view must be of the same engine. Reverts: {EngineInUse}, {InvalidPolicy}.
    function setIdentityRegistry(address policy_) external onlyOwner {
        _changePolicy(policy_);
    }

    /// @notice Same as {setIdentityRegistry}.
    function setCompliance(address policy_) external onlyOwner {
        _changePolicy(policy_);
    }

    // ---------------------------------------------------------------- ERC-1643

    function getDocument(bytes32 name_) external view returns (string memory, bytes32, uint256) {
        return documentRegistry.get(address(this), name_);
    }

    function getAllDocuments() external view returns (bytes32[] memory) {
        return documentRegistry.names(address(this));
    }

    /// @notice Adds or replaces a document. DOCUMENTS right.
    function setDocument(bytes32 name_, string calldata uri, bytes32 documentHash)
        external
        onlyRight(Rights.DOCUMENTS)
    {
        emit DocumentUpdated(name_, uri, documentHash);
        documentRegistry.set(address(this), name_, uri, documentHash, msg.sender);
    }

    /// @notice Withdraws a document. DOCUMENTS right.
    function removeDocument(bytes32 name_) external onlyRight(Rights.DOCUMENTS) {
        (string memory uri, bytes32 documentHash) = documentRegistry.remove(address(this), name_, msg.sender);
        emit DocumentRemoved(name_, uri, documentHash);
    }

    // ---------------------------------------------------------------- movements

    /// @dev Balances first, then the engine: whatever it or a module calls back sees the state after the move.
    function _transfer(address from, address to, uint256 amount) private {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        TokenStorage storage $ = _token();
        (IComplianceEngine engine_, bool paused_) = ($.engine, $.paused);
        if (paused_) revert EnforcedPause();
        Holding f = $.holdings[from];
        Holding t = $.holdings[to];
        if (f.isFrozen()) revert ERC7943CannotSend(from);
        if (t.isFrozen()) revert ERC7943CannotReceive(to);
        uint256 fromBefore = f.balance();
        uint256 free = f.free();
        if (free < amount) {
            if (fromBefore < amount) revert ERC20InsufficientBalance(from, fromBefore, amount);
            revert ERC7943InsufficientUnfrozenBalance(from, amount, free);
        }
        if (from != to) {
            $.holdings[from] = f.minus(amount);
            $.holdings[to] = t.plus(amount);
        }
        emit Transfer(from, to, amount);
        engine_.onTransfer(from, to, amount, fromBefore, t.balance());
    }

    function _mint(address to, uint256 amount) private {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        TokenStorage storage $ = _token();
        uint256 supply = $.totalSupply + amount;
        if (supply > type(uint128).max) revert SupplyOverflow();
        Holding t = $.holdings[to];
        if (t.isFrozen()) revert ERC7943CannotReceive(to);
        $.totalSupply = supply;
        $.holdings[to] = t.plus(amount);
        emit Transfer(address(0), to, amount);
        $.engine.onMint(to, amount, t.balance());
    }

    function _burn(address account, uint256 amount, bytes32 caseId) private {
        if (account != msg.sender) _requireCase(caseId, account, IERC3643.burn.selector);
        TokenStorage storage $ = _token();
        uint256 before = _take(account, amount);
        unchecked {
            $.totalSupply -= amount; // no balance exceeds the supply
        }
        emit Transfer(account, address(0), amount);
        $.engine.onBurn(account, amount, before);
    }

    function _forcedTransfer(address from, address to, uint256 amount, bytes32 caseId) private {
        if (to == address(0)) revert ERC20InvalidReceiver(address(0));
        _requireCase(caseId, from, IERC7943Fungible.forcedTransfer.selector);
        TokenStorage storage $ = _token();
        uint256 fromBefore = _take(from, amount);
        Holding t = $.holdings[to];
        $.holdings[to] = t.plus(amount);
        emit Transfer(from, to, amount);
        emit ForcedTransfer(from, to, amount);
        $.engine.onForced(from, to, amount, fromBefore, from == to ? fromBefore : t.balance());
    }

    function _recover(address lost, address next, address identity, bytes32 caseId) private {
        _requireCase(caseId, lost, IERC3643.recoveryAddress.selector);
        TokenStorage storage $ = _token();
        Holding f = $.holdings[lost];
        Holding t = $.holdings[next];
        uint256 amount = f.balance();
        uint256 frozen = f.frozen();
        if (amount == 0 || lost == next) revert NothingToRecover(lost);
        bool wasFrozen = f.isFrozen();
        uint256 frozenNext = _boundedFreeze(t.frozen() + frozen);
        $.holdings[lost] = Holding.wrap(0).withWalletFrozen(true);
        $.holdings[next] = t.plus(amount).withFrozen(frozenNext).withWalletFrozen(t.isFrozen() || wasFrozen);
        if (frozen != 0) _emitFrozen(lost, frozen, 0);
        emit Transfer(lost, next, amount);
        if (frozen != 0) _emitFrozen(next, t.frozen(), frozenNext);
        if (!wasFrozen) emit AddressFrozen(lost, true, msg.sender);
        if (wasFrozen && !t.isFrozen()) emit AddressFrozen(next, true, msg.sender);
        emit RecoverySuccess(lost, next, identity);
        $.engine.onRecovery(lost, next, identity, amount, t.balance());
    }

    /// @dev Takes `amount` from `account` regardless of freezes; frozen tokens among it are unfrozen.
    function _take(address account, uint256 amount) private returns (uint256 before) {
        TokenStorage storage $ = _token();
        Holding h = $.holdings[account];
        before = h.balance();
        if (before < amount) revert ERC20InsufficientBalance(account, before, amount);
        uint256 free = h.free();
        if (amount > free) {
            uint256 frozen = h.frozen();
            uint256 left = frozen - (amount - free);
            h = h.withFrozen(left);
            _emitFrozen(account, frozen, left);
        }
        $.holdings[account] = h.minus(amount);
    }

    // ---------------------------------------------------------------- helpers

    function _approve(address owner_, address spender, uint256 amount) private {
        if (spender == address(0)) revert ERC20InvalidSpender(address(0));
        _token().allowances[owner_][spender] = amount;
        emit Approval(owner_, spender, amount);
    }

    function _setAddressFrozen(address account, bool freeze, bytes32 caseId) private {
        TokenStorage storage $ = _token();
        $.holdings[account] = $.holdings[account].withWalletFrozen(freeze);
        emit AddressFrozen(account, freeze, msg.sender);
        _note(caseId, account, IERC3643.setAddressFrozen.selector);
    }

    function _freezeMore(address account, uint256 amount, bytes32 caseId) private {
        if (amount > HoldingBits.MAX_FROZEN) revert FreezeOverflow();
        _setFrozen(account, _token().holdings[account].frozen() + amount);
        _note(caseId, account, IERC3643.freezePartialTokens.selector);
    }

    function _freezeLess(address account, uint256 amount, bytes32 caseId) private {
        uint256 frozen = _token().holdings[account].frozen();
        if (frozen < amount) revert InsufficientFrozen(account, frozen, amount);
        _setFrozen(account, frozen - amount);
        _note(caseId, account, IERC3643.unfreezePartialTokens.selector);
    }

    function _setFrozen(address account, uint256 amount) private {
        TokenStorage storage $ = _token();
        if (amount > HoldingBits.MAX_FROZEN) revert FreezeOverflow();
        Holding h = $.holdings[account];
        $.holdings[account] = h.withFrozen(amount);
        _emitFrozen(account, h.frozen(), amount);
    }

    /// @dev Both standards: the difference for ERC-3643, the new total for ERC-7943.
    function _emitFrozen(address account, uint256 old, uint256 amount) private {
        if (amount > old) emit TokensFrozen(account, amount - old);
        if (amount < old) emit TokensUnfrozen(account, old - amount);
        emit Frozen(account, amount);
    }

    function _boundedFreeze(uint256 amount) private pure returns (uint256) {
        return amount > HoldingBits.MAX_FROZEN ? HoldingBits.MAX_FROZEN : amount;
    }

    function _requireCase(bytes32 caseId, address account, bytes4 action) private {
        if (caseId == bytes32(0)) revert CaseRequired();
        emit CaseNoted(caseId, account, action, msg.sender);
    }

    function _note(bytes32 caseId, address account, bytes4 action) private {
        if (caseId != bytes32(0)) emit CaseNoted(caseId, account, action, msg.sender);
    }

    function _changePolicy(address policy_) private {
        TokenStorage storage $ = _token();
        address old = $.policy;
        if (policy_ == old) revert InvalidPolicy(policy_);
        IComplianceEngine engine_ = $.engine;
        _setPolicy(policy_);
        uint256 supply = $.totalSupply;
        if (supply != 0 && address($.engine) != address(engine_)) revert EngineInUse(address(engine_), supply);
        IERC3643Compliance(old).unbindToken(address(this));
    }

    function _setPolicy(address policy_) private {
        if (policy_.code.length == 0 || ITokenPolicyView(policy_).token() != address(this)) {
            revert InvalidPolicy(policy_);
        }
        TokenStorage storage $ = _token();
        $.policy = policy_;
        $.engine = IComplianceEngine(ITokenPolicyView(policy_).engine());
        emit IdentityRegistryAdded(policy_);
        emit ComplianceAdded(policy_);
        IERC3643Compliance(policy_).bindToken(address(this));
    }

    function _emitInformation() private {
        TokenStorage storage $ = _token();
        emit UpdatedTokenInformation($.name, $.symbol, $.decimals, _version(), $.onchainId);
    }

    function _sameLength(uint256 a, uint256 b) private pure {
        if (a != b) revert LengthMismatch();
    }

    function _version() private pure returns (string memory) {
        return "1.0.0";
    }

    function _token() private pure returns (TokenStorage storage $) {
        assembly {
            $.slot := TOKEN_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return Rights.ERC3643_AGENT;
    }

    function _EIP712Name() internal view override returns (string memory) {
        return _token().name;
    }

    function _EIP712Version() internal pure override returns (string memory) {
        return "1";
    }
}
