// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";

/// @title Delivery versus payment: a token against a payment token, both legs in one transaction or none
/// @notice Orders are signed off chain (EIP-712, ERC-1271 wallets too) and settled here straight between the parties'
/// wallets on their allowances: nothing is ever held. Who: anyone with the signatures; the owner (timelock) sets the fee.
/// Nonces are unordered; each stands for one order and is used up by filling it whole, or by cancelling.
contract DvpSettlement is HubUpgradeable, EIP712Upgradeable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @param maker Who signs.
    /// @param taker The only counterparty the maker accepts; zero = anyone.
    /// @param sell True: the maker gives tokens and wants payment.
    /// @param amount Token units (smallest) of the whole order.
    /// @param payment Payment units (smallest) for the whole order: at least that much for a sale, at most for a purchase.
    /// @param minFill Least token units per fill, unless less is left.
    /// @param expiry Unix seconds; the order can be filled before this time.
    /// @param maxFeeBps Most fee the maker accepts, in 1/10,000 of the payment. The seller pays the fee.
    struct Order {
        address maker;
        address taker;
        address token;
        address currency;
        bool sell;
        uint128 amount;
        uint128 payment;
        uint128 minFill;
        uint64 expiry;
        uint64 nonce;
        uint16 maxFeeBps;
    }

    /// @notice Two orders that meet.
    /// @param fill Token units.
    /// @param payment Payment units; within what both orders allow for that fill.
    struct Match {
        Order sell;
        Order buy;
        bytes sellSignature;
        bytes buySignature;
        uint128 fill;
        uint128 payment;
    }

    /// @dev The two legs.
    struct Legs {
        address token;
        address currency;
        address seller;
        address buyer;
        uint256 amount;
        uint256 payment;
    }

    enum OrderState {
        Open,
        Filled,
        Cancelled,
        Expired
    }

    /// @custom:storage-location erc7201:rwahub.storage.DvpSettlement
    struct DvpStorage {
        uint16 feeBps;
        address feeRecipient;
        // One bit per nonce: used up. A whole fill costs no more than this bit.
        mapping(address maker => mapping(uint256 word => uint256)) used;
        mapping(bytes32 orderHash => uint256) filled; // token units, of partly filled orders only
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.DvpSettlement")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant DVP_STORAGE = 0x5e7cc23f66efe8b4cca18e157fb9a26403b143e98b48e12a19d5076af1621500;

    bytes32 public constant ORDER_TYPEHASH = keccak256(
        "Order(address maker,address taker,address token,address currency,bool sell,uint128 amount,uint128 payment,uint128 minFill,uint64 expiry,uint64 nonce,uint16 maxFeeBps)"
    );
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME_HASH = keccak256("RWA Hub DvpSettlement");
    bytes32 private constant VERSION_HASH = keccak256("1");
    uint16 public constant MAX_FEE_BPS = 500;
    uint256 private constant BPS = 10_000;

    /// @notice A trade. `buyOrder` is zero when the taker called {settle} instead of signing an order.
    event OrderSettled(
        bytes32 indexed order,
        bytes32 indexed counterOrder,
        address indexed token,
        address currency,
        address seller,
        address buyer,
        uint256 amount,
        uint256 payment,
        uint256 fee
    );
    event OrderCancelled(address indexed maker, uint256 indexed nonce);
    event NoncesInvalidated(address indexed maker, uint256 indexed word, uint256 mask);
    event FeeSet(uint16 feeBps, address indexed recipient);

    error OrderExpired(uint64 expiry);
    /// @notice The order was filled whole or cancelled, or another order with its nonce was.
    error OrderUsedUp(address maker, uint256 nonce);
    error InvalidOrder();
    error InvalidOrderSignature(address maker);
    error WrongTaker(address taker);
    /// @notice Below `minFill`, above what is left, or zero.
    error InvalidFill(uint256 fill, uint256 left);
    /// @notice The payment is outside what an order allows for the fill.
    error PriceNotMet(uint256 payment, uint256 limit);
    error FeeTooHigh(uint16 feeBps, uint16 limit);
    error InvalidFeeRecipient();
    /// @notice The two orders do not meet: same side, or different token, currency or maker rules.
    error OrdersDoNotMatch();
    /// @notice The currency took something off on the way; such currencies cannot be settled.
    error PaymentShort(uint256 received, uint256 expected);

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    function initialize(address owner_, uint16 feeBps, address feeRecipient) external initializer {
        __Ownable_init(owner_);
        _setFee(feeBps, feeRecipient);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("DvpSettlement");
    }

    // ---------------------------------------------------------------- settling

    /// @notice The caller takes `fill` token units of a signed order at the order's own price, rounded in the maker's
    /// favour. Both sides must have given this contract allowances.
    function settle(Order calldata order, bytes calldata signature, uint128 fill) external nonReentrant {
        address taker = order.taker;
        if (taker != address(0) && taker != msg.sender) revert WrongTaker(msg.sender);
        bytes32 hash = _consume(order, signature, fill);
        bool sell = order.sell;
        uint256 payment = _part(order.payment, fill, order.amount, sell);
        (address seller, address buyer) = sell ? (order.maker, msg.sender) : (msg.sender, order.maker);
        _move(hash, 0, Legs(order.token, order.currency, seller, buyer, fill, payment));
    }

    /// @notice Settles two signed orders against each other. Anyone with both may call.
    function settleMatch(Match calldata m) external nonReentrant {
        _settleMatch(m);
    }

    /// @notice {settleMatch} for many; all or none.
    function settleBatch(Match[] calldata matches) external nonReentrant {
        for (uint256 k = 0; k < matches.length; ++k) {
            _settleMatch(matches[k]);
        }
    }

    // ---------------------------------------------------------------- withdrawing orders

    /// @notice Cancels the caller's order with `nonce`, at once and for good.
    function cancel(uint64 nonce) external {
        DvpStorage storage $ = _dvp();
        uint256 bit = 1 << (nonce & 0xff);
        if ($.used[msg.sender][nonce >> 8] & bit != 0) revert OrderUsedUp(msg.sender, nonce);
        $.used[msg.sender][nonce >> 8] |= bit;
        emit OrderCancelled(msg.sender, nonce);
    }

    /// @notice Uses up all nonces `word * 256 + n` of the caller where bit n of `mask` is set.
    function invalidateNonces(uint56 word, uint256 mask) external {
        _dvp().used[msg.sender][word] |= mask;
        emit NoncesInvalidated(msg.sender, word, mask);
    }

    // ---------------------------------------------------------------- questions

    /// @notice The EIP-712 digest that a maker signs. It names this chain and this contract.
    function orderHash(Order calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(_structHash(order));
    }

    /// @return state What stands in the way, and `left`, the token units still to fill.
    function status(Order calldata order) external view returns (OrderState state, uint256 left) {
        DvpStorage storage $ = _dvp();
        uint256 filled = $.filled[orderHash(order)];
        if (_isUsed(order.maker, order.nonce)) {
            return (filled >= order.amount ? OrderState.Filled : OrderState.Cancelled, 0);
        }
        left = order.amount - filled;
        return (block.timestamp >= order.expiry ? OrderState.Expired : OrderState.Open, left);
    }

    function isNonceUsed(address maker, uint64 nonce) external view returns (bool) {
        return _isUsed(maker, nonce);
    }

    /// @notice What a fill costs: payment by the buyer, of which the fee is kept from the seller.
    function quote(Order calldata order, uint128 fill) external view returns (uint256 payment, uint256 fee) {
        payment = _part(order.payment, fill, order.amount, order.sell);
        (fee,) = _fee(payment);
    }

    function feeInfo() external view returns (uint16 feeBps, address recipient) {
        return (_dvp().feeBps, _dvp().feeRecipient);
    }

    /// @notice Sets the fee in 1/10,000 of the payment, at most {MAX_FEE_BPS}. Owner only.
    function setFee(uint16 feeBps, address recipient) external onlyOwner {
        _setFee(feeBps, recipient);
    }

    // ---------------------------------------------------------------- inside

    function _settleMatch(Match calldata m) private {
        Order calldata s = m.sell;
        Order calldata b = m.buy;
        if (!s.sell || b.sell || s.token != b.token || s.currency != b.currency) revert OrdersDoNotMatch();
        if (s.taker != address(0) && s.taker != b.maker) revert WrongTaker(b.maker);
        if (b.taker != address(0) && b.taker != s.maker) revert WrongTaker(s.maker);
        bytes32 sellHash = _consume(s, m.sellSignature, m.fill);
        bytes32 buyHash = _consume(b, m.buySignature, m.fill);
        uint256 least = _part(s.payment, m.fill, s.amount, true);
        if (m.payment < least) revert PriceNotMet(m.payment, least);
        uint256 most = _part(b.payment, m.fill, b.amount, false);
        if (m.payment > most) revert PriceNotMet(m.payment, most);
        _move(sellHash, buyHash, Legs(s.token, s.currency, s.maker, b.maker, m.fill, m.payment));
    }

    /// @dev Checks everything about one order and books the fill. State first, movements later.
    function _consume(Order calldata order, bytes calldata signature, uint256 fill) private returns (bytes32 hash) {
        if (block.timestamp >= order.expiry) revert OrderExpired(order.expiry);
        DvpStorage storage $ = _dvp();
        uint16 feeBps = $.feeBps;
        if (feeBps > order.maxFeeBps) revert FeeTooHigh(feeBps, order.maxFeeBps);
        (address maker, uint256 amount, uint256 nonce) = (order.maker, order.amount, order.nonce);
        if (amount == 0 || maker == address(0)) revert InvalidOrder();
        mapping(uint256 => uint256) storage words = $.used[maker];
        uint256 word = words[nonce >> 8];
        uint256 bit = 1 << (nonce & 0xff);
        if (word & bit != 0) revert OrderUsedUp(maker, nonce);
        hash = orderHash(order);
        if (!_isSigned(maker, hash, signature)) revert InvalidOrderSignature(maker);
        uint256 filled = $.filled[hash];
        uint256 left;
        unchecked {
            left = amount - filled; // never filled beyond the amount
        }
        if (fill == 0 || fill > left || (fill != left && fill < order.minFill)) revert InvalidFill(fill, left);
        if (fill == left) words[nonce >> 8] = word | bit;
        unchecked {
            if (fill != amount) $.filled[hash] = filled + fill; // at most `amount`
        }
    }

    function _move(bytes32 hash, bytes32 counterHash, Legs memory legs) private {
        (address seller, address buyer) = (legs.seller, legs.buyer);
        if (seller == buyer) revert OrdersDoNotMatch();
        uint256 expected = legs.payment;
        (uint256 fee, address feeRecipient) = _fee(expected);
        emit OrderSettled(hash, counterHash, legs.token, legs.currency, seller, buyer, legs.amount, expected, fee);
        IERC20 currency = IERC20(legs.currency);
        IERC20(legs.token).safeTransferFrom(seller, buyer, legs.amount);
        unchecked {
            expected -= fee; // at most 5 % of it
        }
        uint256 before = currency.balanceOf(seller);
        currency.safeTransferFrom(buyer, seller, expected);
        uint256 received;
        unchecked {
            received = currency.balanceOf(seller) - before; // a fall wraps around and is refused as well
        }
        if (received != expected) revert PaymentShort(received, expected);
        if (fee != 0) currency.safeTransferFrom(buyer, feeRecipient, fee);
    }

    /// @dev A key's signature first: asking a wallet without code whether it has any costs 2,600 gas.
    function _isSigned(address maker, bytes32 hash, bytes calldata signature) private view returns (bool) {
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(hash, signature);
        if (fault == ECDSA.RecoverError.NoError && signer == maker) return true;
        return SignatureChecker.isValidERC1271SignatureNowCalldata(maker, hash, signature);
    }

    /// @dev All members are words, so the calldata is the encoding. A word with bits beyond its type is refused where the
    /// member is read; it could not have been signed anyway.
    function _structHash(Order calldata order) private pure returns (bytes32 hash) {
        bytes32 typeHash = ORDER_TYPEHASH;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, typeHash)
            calldatacopy(add(p, 0x20), order, 0x160)
            hash := keccak256(p, 0x180)
        }
    }

    /// @dev The domain from constants; the strings of {eip712Domain} hash to the same.
    function _hashTypedDataV4(bytes32 structHash) internal view override returns (bytes32) {
        bytes32 domain = keccak256(abi.encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @dev Payment for a part of an order; all three have 128 bits, so nothing overflows.
    function _part(uint256 payment, uint256 fill, uint256 amount, bool roundUp) private pure returns (uint256) {
        unchecked {
            return (payment * fill + (roundUp ? amount - 1 : 0)) / amount;
        }
    }

    function _isUsed(address maker, uint256 nonce) private view returns (bool) {
        return _dvp().used[maker][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @dev Rounded down: never more than the rate.
    function _fee(uint256 payment) private view returns (uint256 fee, address recipient) {
        DvpStorage storage $ = _dvp();
        uint256 feeBps;
        (feeBps, recipient) = ($.feeBps, $.feeRecipient);
        unchecked {
            fee = payment * feeBps / BPS; // 128 bits times at most 500
        }
    }

    function _setFee(uint16 feeBps, address recipient) private {
        if (feeBps > MAX_FEE_BPS) revert FeeTooHigh(feeBps, MAX_FEE_BPS);
        if (feeBps != 0 && recipient == address(0)) revert InvalidFeeRecipient();
        _dvp().feeBps = feeBps;
        _dvp().feeRecipient = recipient;
        emit FeeSet(feeBps, recipient);
    }

    function _dvp() private pure returns (DvpStorage storage $) {
        assembly {
            $.slot := DVP_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return 0; // agents have no part in settlement
    }

    function _EIP712Name() internal pure override returns (string memory) {
        return "RWA Hub DvpSettlement";
    }

    function _EIP712Version() internal pure override returns (string memory) {
        return "1";
    }
}
