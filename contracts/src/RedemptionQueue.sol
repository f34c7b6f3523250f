// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IAgentRights} from "./interfaces/IAgentRights.sol";
import {IERC3643} from "./interfaces/IERC3643.sol";
import {IERC7540Operator, IERC7540Redeem} from "./interfaces/IERC7540.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

/// @title Redemptions of one token in the shape of ERC-7540: request, price, claim
/// @notice A request moves the shares here; the redemption agent prices and funds it, which burns them; the controller
/// then claims the payment. Until priced, a request can be cancelled and the shares go back to their owner.
/// The queue must be a custody account of the engine and hold SUPPLY on the token (it burns only its own shares).
/// Who: holders and their operators; agents of the token with REDEEM.
contract RedemptionQueue is HubUpgradeable, ReentrancyGuardTransient, IERC165, IERC7540Operator, IERC7540Redeem {
    using SafeERC20 for IERC20;

    /// @notice Most open requests per controller; {redeem} walks over them.
    uint256 public constant MAX_OPEN = 32;

    struct Request {
        address owner; // whose shares they were
        address controller; // who may cancel and claim
        uint256 pending; // shares
        uint256 claimable; // shares, burnt already
        uint256 assets; // payment units for the claimable shares
    }

    /// @custom:storage-location erc7201:rwahub.storage.RedemptionQueue
    struct QueueStorage {
        address share;
        address asset;
        uint256 unit; // 10^decimals of the share
        uint256 count;
        mapping(uint256 id => Request) requests;
        mapping(address controller => uint256[]) open;
        mapping(address controller => mapping(address operator => bool)) operators;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.RedemptionQueue")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant QUEUE_STORAGE = 0x56909e8c370fcec81310a674d044c2a8ea1c6dee3da5a6b0bdf0574109a8aa00;

    event QueueCreated(address indexed share, address indexed asset);
    /// @param price Payment units per whole share (10^decimals of its smallest units).
    event RedeemClaimable(
        address indexed controller, uint256 indexed requestId, uint256 assets, uint256 shares, uint256 price
    );
    /// @dev ERC-4626 layout; `owner` is the controller.
    event Withdraw(
        address indexed sender, address indexed receiver, address indexed owner, uint256 assets, uint256 shares
    );
    /// @notice Which request a {Withdraw} (the log before) drew on.
    event RequestClaimed(uint256 indexed requestId, address indexed controller, uint256 assets, uint256 shares);
    event RedeemRequestCancelled(uint256 indexed requestId, address indexed owner, uint256 shares, address indexed by);

    error InvalidAddress();
    error InvalidAmount();
    error NotAuthorized(address account);
    error UnknownRequest(uint256 requestId);
    error TooManyRequests();
    error InsufficientClaimable(uint256 shares, uint256 claimable);
    error AccountFrozen(address account);
    /// @notice The assets come out above what the agent set as its limit.
    error AssetsAboveLimit(uint256 assets, uint256 limit);
    error FundingShort(uint256 received, uint256 expected);

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    /// @param share_ The token that is redeemed; `asset_` what is paid for it.
    function initialize(address owner_, address share_, address asset_) external initializer {
        __Ownable_init(owner_);
        if (share_.code.length == 0 || asset_.code.length == 0) revert InvalidAddress();
        QueueStorage storage $ = _store();
        $.share = share_;
        $.asset = asset_;
        $.unit = 10 ** IERC20Metadata(share_).decimals();
        emit QueueCreated(share_, asset_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("RedemptionQueue");
    }

    // ---------------------------------------------------------------- holders

    /// @notice Moves `shares` (smallest units) of `owner_` here for redemption by `controller`. The owner or its
    /// operator; this contract needs an allowance of the owner.
    function requestRedeem(uint256 shares, address controller, address owner_)
        external
        nonReentrant
        returns (uint256 requestId)
    {
        _checkControl(owner_);
        if (controller == address(0)) revert InvalidAddress();
        if (shares == 0) revert InvalidAmount();
        QueueStorage storage $ = _store();
        if ($.open[controller].length == MAX_OPEN) revert TooManyRequests();
        requestId = ++$.count;
        $.requests[requestId] = Request(owner_, controller, shares, 0, 0);
        $.open[controller].push(requestId);
        emit RedeemRequest(controller, owner_, requestId, msg.sender, shares);
        IERC20($.share).safeTransferFrom(owner_, address(this), shares);
    }

    /// @notice Gives the shares of an unpriced request back to their owner. The controller, its operator, or REDEEM.
    function cancelRedeemRequest(uint256 requestId) external nonReentrant {
        QueueStorage storage $ = _store();
        Request storage r = $.requests[requestId];
        uint256 shares = r.pending;
        if (shares == 0) revert UnknownRequest(requestId);
        if (!_isRedeemAgent(msg.sender)) _checkControl(r.controller);
        address owner_ = r.owner;
        _close(r.controller, requestId);
        emit RedeemRequestCancelled(requestId, owner_, shares, msg.sender);
        IERC20($.share).safeTransfer(owner_, shares);
    }

    /// @notice Claims the payment for `shares` claimable shares of `controller`, oldest requests first, to `receiver`.
    function redeem(uint256 shares, address receiver, address controller)
        external
        nonReentrant
        returns (uint256 assets)
    {
        _checkControl(controller);
        if (receiver == address(0)) revert InvalidAddress();
        if (shares == 0) revert InvalidAmount();
        QueueStorage storage $ = _store();
        if (IERC3643($.share).isFrozen(controller)) revert AccountFrozen(controller);
        uint256 claimable = maxRedeem(controller);
        if (shares > claimable) revert InsufficientClaimable(shares, claimable);
        assets = _draw(controller, shares);
        emit Withdraw(msg.sender, receiver, controller, assets, shares);
        IERC20($.asset).safeTransfer(receiver, assets);
    }

    function setOperator(address operator, bool approved) external returns (bool) {
        _store().operators[msg.sender][operator] = approved;
        emit OperatorSet(msg.sender, operator, approved);
        return true;
    }

    // ---------------------------------------------------------------- redemption agent

    /// @notice Prices and funds whole requests and burns their shares. REDEEM right; the caller pays.
    /// @param price Payment units per whole share; rounded down per request.
    /// @param maxAssets Most the caller accepts to pay.
    function fulfil(uint256[] calldata requestIds, uint256 price, uint256 maxAssets) external nonReentrant {
        if (!_isRedeemAgent(msg.sender)) revert NotAuthorized(msg.sender);
        uint256 shares = 0;
        uint256 assets = 0;
        for (uint256 k = 0; k < requestIds.length; ++k) {
            (uint256 s, uint256 a) = _price(requestIds[k], price);
            shares += s;
            assets += a;
        }
        if (assets > maxAssets) revert AssetsAboveLimit(assets, maxAssets);
        QueueStorage storage $ = _store();
        IERC3643($.share).burn(address(this), shares);
        _fund(IERC20($.asset), assets);
    }

    // ---------------------------------------------------------------- questions

    function share() external view returns (address) {
        return _store().share;
    }

    function asset() external view returns (address) {
        return _store().asset;
    }

    function isOperator(address controller, address operator) external view returns (bool) {
        return _store().operators[controller][operator];
    }

    function pendingRedeemRequest(uint256 requestId, address controller) external view returns (uint256) {
        Request storage r = _store().requests[requestId];
        return r.controller == controller ? r.pending : 0;
    }

    function claimableRedeemRequest(uint256 requestId, address controller) external view returns (uint256) {
        Request storage r = _store().requests[requestId];
        return r.controller == controller ? r.claimable : 0;
    }

    /// @notice Claimable shares of `controller` over all its requests.
    function maxRedeem(address controller) public view returns (uint256 shares) {
        QueueStorage storage $ = _store();
        uint256[] storage ids = $.open[controller];
        for (uint256 k = 0; k < ids.length; ++k) {
            shares += $.requests[ids[k]].claimable;
        }
    }

    function request(uint256 requestId) external view returns (Request memory) {
        return _store().requests[requestId];
    }

    /// @notice Open requests of `controller`, oldest first.
    function openRequests(address controller) external view returns (uint256[] memory) {
        return _store().open[controller];
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IERC165).interfaceId || id == type(IERC7540Operator).interfaceId
            || id == type(IERC7540Redeem).interfaceId;
    }

    // ---------------------------------------------------------------- inside

    function _price(uint256 requestId, uint256 price) private returns (uint256 shares, uint256 assets) {
        QueueStorage storage $ = _store();
        Request storage r = $.requests[requestId];
        shares = r.pending;
        if (shares == 0) revert UnknownRequest(requestId);
        assets = Math.mulDiv(shares, price, $.unit);
        r.pending = 0;
        r.claimable = shares;
        r.assets = assets;
        emit RedeemClaimable(r.controller, requestId, assets, shares, price);
    }

    function _draw(address controller, uint256 shares) private returns (uint256 assets) {
        QueueStorage storage $ = _store();
        uint256[] memory ids = $.open[controller];
        for (uint256 k = 0; k < ids.length && shares != 0; ++k) {
            Request storage r = $.requests[ids[k]];
            uint256 claimable = r.claimable;
            if (claimable == 0) continue;
            uint256 part = shares < claimable ? shares : claimable;
            uint256 due = Math.mulDiv(r.assets, part, claimable); // the last part takes what rounding left
            shares -= part;
            assets += due;
            emit RequestClaimed(ids[k], controller, due, part);
            if (part == claimable) {
                _close(controller, ids[k]);
            } else {
                r.claimable = claimable - part;
                r.assets -= due;
            }
        }
    }

    /// @dev Forgets a request; the order of the others stays.
    function _close(address controller, uint256 requestId) private {
        QueueStorage storage $ = _store();
        delete $.requests[requestId];
        uint256[] storage ids = $.open[controller];
        uint256 last = ids.length - 1;
        bool found = false;
        for (uint256 k = 0; k < last; ++k) {
            if (ids[k] == requestId) found = true;
            if (found) ids[k] = ids[k + 1];
        }
        ids.pop();
    }

    function _fund(IERC20 asset_, uint256 amount) private {
        uint256 before = asset_.balanceOf(address(this));
        asset_.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = asset_.balanceOf(address(this)) - before;
        if (received != amount) revert FundingShort(received, amount);
    }

    function _checkControl(address account) private view {
        if (msg.sender != account && !_store().operators[account][msg.sender]) revert NotAuthorized(msg.sender);
    }

    function _isRedeemAgent(address account) private view returns (bool) {
        return IAgentRights(_store().share).hasRight(account, Rights.REDEEM);
    }

    function _store() private pure returns (QueueStorage storage $) {
        assembly {
            $.slot := QUEUE_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return 0; // rights are the token's
    }
}
