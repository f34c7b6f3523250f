// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IAgentRights} from "./interfaces/IAgentRights.sol";
import {IERC3643} from "./interfaces/IERC3643.sol";
import {IERC7943Fungible} from "./interfaces/IERC7943.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

/// @title Primary offerings: subscribe with payment in escrow, allocate, then mint or refund
/// @notice Investors subscribe in the window and may step back until it closes. Afterwards the issuer allocates at most
/// the hard cap and finalises when the soft cap is met; then each investor's tokens are minted and the rest refunded.
/// When the issuer cancels, or lets {GRACE_SECS} pass without finalising, everything is refunded.
/// Who: investors, and agents of the token with OFFER. This contract needs SUPPLY on the token.
contract PrimaryOffering is HubUpgradeable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @param treasury Receives the proceeds.
    /// @param price Payment units (smallest) for one whole token, that is 10^decimals of its smallest units.
    /// @param hardCap Most token units (smallest) to allocate; `softCap` the least to go ahead.
    /// @param minTicket Least token units per investor; `maxTicket` the most, 0 = no limit.
    /// @param opens Unix seconds; subscriptions from then on and before `closes`.
    struct Terms {
        address token;
        address currency;
        address treasury;
        uint256 price;
        uint128 hardCap;
        uint128 softCap;
        uint128 minTicket;
        uint128 maxTicket;
        uint64 opens;
        uint64 closes;
    }

    enum State {
        Open,
        Finalized,
        Cancelled
    }

    struct Offering {
        Terms terms;
        State state;
        uint128 subscribed; // token units
        uint128 allocated; // token units
        uint256 proceeds; // payment units for what is allocated
        uint256 unit; // 10^decimals of the token
    }

    struct Subscription {
        uint128 tokens;
        uint128 allocated;
        uint256 paid; // payment units still in escrow for this investor
        bool minted;
    }

    /// @custom:storage-location erc7201:rwahub.storage.PrimaryOffering
    struct OfferingStorage {
        uint256 count;
        mapping(uint256 id => Offering) offerings;
        mapping(uint256 id => mapping(address investor => Subscription)) subscriptions;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.PrimaryOffering")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant OFFERING_STORAGE = 0x115ffd72785804790e6a8c7a4a037ce8e6b45e285a4bc251e2f570809ba59800;

    /// @notice How long after the close the issuer may allocate and finalise; then everything is refundable.
    uint64 public constant GRACE_SECS = 30 days;

    event OfferingCreated(
        uint256 indexed id,
        address indexed token,
        address indexed currency,
        address treasury,
        uint256 price,
        uint128 hardCap,
        uint128 softCap,
        uint128 minTicket,
        uint128 maxTicket,
        uint64 opens,
        uint64 closes
    );
    /// @param tokens What the investor's subscription stands at now; `paid` likewise.
    event Subscribed(uint256 indexed id, address indexed investor, uint256 tokens, uint256 paid);
    event Unsubscribed(uint256 indexed id, address indexed investor, uint256 refunded);
    event Allocated(uint256 indexed id, address indexed investor, uint256 tokens);
    event Finalized(uint256 indexed id, uint256 allocated, uint256 proceeds);
    event OfferingCancelled(uint256 indexed id);
    event Claimed(uint256 indexed id, address indexed investor, uint256 tokens);
    event Refunded(uint256 indexed id, address indexed investor, uint256 amount);

    error UnknownOffering(uint256 id);
    error InvalidTerms();
    error NotIssuer(address account);
    /// @notice Outside the window, or in the wrong state.
    error WrongPhase(uint256 id);
    error NotEligible(address investor);
    error TicketOutOfRange(uint256 tokens);
    error LengthMismatch();
    error AllocationTooHigh(uint256 tokens, uint256 limit);
    error SoftCapMissed(uint256 allocated, uint256 softCap);
    error NothingDue(address investor);
    /// @notice The price rose above what the caller accepts, or the currency took something off on the way.
    error PaymentMismatch(uint256 expected, uint256 actual);

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("PrimaryOffering");
    }

    // ---------------------------------------------------------------- issuer

    /// @notice Opens an offering. OFFER right of the token.
    function create(Terms calldata terms) external returns (uint256 id) {
        _checkIssuer(terms.token);
        if (
            terms.treasury == address(0) || terms.currency.code.length == 0 || terms.price == 0 || terms.hardCap == 0
                || terms.softCap > terms.hardCap || terms.closes <= terms.opens || terms.closes <= block.timestamp
                || (terms.maxTicket != 0 && terms.maxTicket < terms.minTicket)
        ) revert InvalidTerms();
        OfferingStorage storage $ = _store();
        id = ++$.count;
        Offering storage o = $.offerings[id];
        o.terms = terms;
        o.unit = 10 ** IERC20Metadata(terms.token).decimals();
        _emitCreated(id, terms);
    }

    /// @notice Sets how much each investor gets, in token units, at most what they subscribed. After the close, before
    /// finalising; may be repeated. OFFER right.
    function allocate(uint256 id, address[] calldata investors, uint128[] calldata tokens) external {
        Offering storage o = _open(id);
        _checkIssuer(o.terms.token);
        _checkSettling(id, o);
        if (investors.length != tokens.length) revert LengthMismatch();
        for (uint256 k = 0; k < investors.length; ++k) {
            _allocate(id, o, investors[k], tokens[k]);
        }
        if (o.allocated > o.terms.hardCap) revert AllocationTooHigh(o.allocated, o.terms.hardCap);
    }

    /// @notice Ends a successful offering and pays the proceeds to the treasury. OFFER right; the soft cap must be met.
    function finalize(uint256 id) external nonReentrant {
        Offering storage o = _open(id);
        _checkIssuer(o.terms.token);
        _checkSettling(id, o);
        if (o.allocated == 0 || o.allocated < o.terms.softCap) revert SoftCapMissed(o.allocated, o.terms.softCap);
        o.state = State.Finalized;
        emit Finalized(id, o.allocated, o.proceeds);
        IERC20(o.terms.currency).safeTransfer(o.terms.treasury, o.proceeds);
    }

    /// @notice Calls the offering off; everything becomes refundable. OFFER right.
    function cancel(uint256 id) external {
        Offering storage o = _open(id);
        _checkIssuer(o.terms.token);
        o.state = State.Cancelled;
        emit OfferingCancelled(id);
    }

    // ---------------------------------------------------------------- investors

    /// @notice Subscribes for `tokens` more token units; the price goes into escrow. The caller must be able to hold the
    /// token. More than the hard cap may be subscribed; the issuer allocates.
    /// @param maxPayment Most payment units the caller accepts to pay now.
    function subscribe(uint256 id, uint128 tokens, uint256 maxPayment) external nonReentrant {
        Offering storage o = _open(id);
        Terms storage t = o.terms;
        if (block.timestamp < t.opens || block.timestamp >= t.closes) revert WrongPhase(id);
        if (!IERC7943Fungible(t.token).canReceive(msg.sender)) revert NotEligible(msg.sender);
        Subscription storage s = _store().subscriptions[id][msg.sender];
        uint128 total = s.tokens + tokens;
        if (tokens == 0 || total < t.minTicket || (t.maxTicket != 0 && total > t.maxTicket)) {
            revert TicketOutOfRange(total);
        }
        uint256 paid = _cost(o, total);
        uint256 due = paid - s.paid;
        if (due > maxPayment) revert PaymentMismatch(maxPayment, due);
        o.subscribed += tokens;
        s.tokens = total;
        s.paid = paid;
        emit Subscribed(id, msg.sender, total, paid);
        _pull(IERC20(t.currency), due);
    }

    /// @notice Steps back from the whole subscription, with full refund, until the close.
    function unsubscribe(uint256 id) external nonReentrant {
        Offering storage o = _open(id);
        if (block.timestamp >= o.terms.closes) revert WrongPhase(id);
        Subscription storage s = _store().subscriptions[id][msg.sender];
        uint256 paid = s.paid;
        if (s.tokens == 0) revert NothingDue(msg.sender);
        o.subscribed -= s.tokens;
        s.tokens = 0;
        s.paid = 0;
        emit Unsubscribed(id, msg.sender, paid);
        IERC20(o.terms.currency).safeTransfer(msg.sender, paid);
    }

    /// @notice After finalising: mints what `investor` was allocated and refunds the rest. Anyone may call. When the
    /// investor cannot hold the token now, the call reverts and works again later; the rest is refundable at once.
    function claim(uint256 id, address investor) external nonReentrant {
        Offering storage o = _known(id);
        if (o.state != State.Finalized) revert WrongPhase(id);
        Subscription storage s = _store().subscriptions[id][investor];
        if (s.allocated == 0 || s.minted) revert NothingDue(investor);
        s.minted = true;
        emit Claimed(id, investor, s.allocated);
        _refund(id, o, s, investor);
        IERC3643(o.terms.token).mint(investor, s.allocated);
    }

    /// @notice Pays back what is due to `investor`: the unallocated part after finalising, or everything when the
    /// offering was cancelled or left alone. Anyone may call.
    function refund(uint256 id, address investor) external nonReentrant {
        Offering storage o = _known(id);
        if (o.state == State.Open && block.timestamp <= o.terms.closes + GRACE_SECS) revert WrongPhase(id);
        if (_refund(id, o, _store().subscriptions[id][investor], investor) == 0) revert NothingDue(investor);
    }

    // ---------------------------------------------------------------- questions

    function offering(uint256 id) external view returns (Offering memory) {
        return _store().offerings[id];
    }

    function subscription(uint256 id, address investor) external view returns (Subscription memory) {
        return _store().subscriptions[id][investor];
    }

    function count() external view returns (uint256) {
        return _store().count;
    }

    /// @notice Payment units for `tokens` token units of one investor, rounded up.
    function cost(uint256 id, uint256 tokens) external view returns (uint256) {
        return _cost(_known(id), tokens);
    }

    // ---------------------------------------------------------------- inside

    function _allocate(uint256 id, Offering storage o, address investor, uint128 tokens) private {
        Subscription storage s = _store().subscriptions[id][investor];
        if (tokens > s.tokens) revert AllocationTooHigh(tokens, s.tokens);
        o.proceeds = o.proceeds - _cost(o, s.allocated) + _cost(o, tokens);
        o.allocated = o.allocated - s.allocated + tokens;
        s.allocated = tokens;
        emit Allocated(id, investor, tokens);
    }

    function _refund(uint256 id, Offering storage o, Subscription storage s, address investor)
        private
        returns (uint256 due)
    {
        uint256 kept = o.state == State.Finalized ? _cost(o, s.allocated) : 0;
        due = s.paid - kept;
        if (due == 0) return 0;
        s.paid = kept;
        emit Refunded(id, investor, due);
        IERC20(o.terms.currency).safeTransfer(investor, due);
    }

    function _pull(IERC20 currency, uint256 amount) private {
        uint256 before = currency.balanceOf(address(this));
        currency.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = currency.balanceOf(address(this)) - before;
        if (received != amount) revert PaymentMismatch(amount, received);
    }

    function _cost(Offering storage o, uint256 tokens) private view returns (uint256) {
        return Math.mulDiv(tokens, o.terms.price, o.unit, Math.Rounding.Ceil);
    }

    function _known(uint256 id) private view returns (Offering storage o) {
        o = _store().offerings[id];
        if (o.unit == 0) revert UnknownOffering(id);
    }

    function _open(uint256 id) private view returns (Offering storage o) {
        o = _known(id);
        if (o.state != State.Open) revert WrongPhase(id);
    }

    function _checkSettling(uint256 id, Offering storage o) private view {
        uint64 closes = o.terms.closes;
        if (block.timestamp < closes || block.timestamp > closes + GRACE_SECS) revert WrongPhase(id);
    }

    function _checkIssuer(address token) private view {
        if (!IAgentRights(token).hasRight(msg.sender, Rights.OFFER)) revert NotIssuer(msg.sender);
    }

    function _emitCreated(uint256 id, Terms calldata t) private {
        emit OfferingCreated(
            id,
            t.token,
            t.currency,
            t.treasury,
            t.price,
            t.hardCap,
            t.softCap,
            t.minTicket,
            t.maxTicket,
            t.opens,
            t.closes
        );
    }

    function _store() private pure returns (OfferingStorage storage $) {
        assembly {
            $.slot := OFFERING_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return 0; // rights are the token's
    }
}
