// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IAgentRights} from "./interfaces/IAgentRights.sol";
import {IERC3643} from "./interfaces/IERC3643.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Rights} from "./lib/Rights.sol";

/// @title Dividends and coupons: the holders at a record block, each paid once
/// @notice The amounts are computed off chain from the holders at the record block and fixed by a Merkle root. Holders
/// claim, or the issuer pushes; both prove the same leaf, so nobody is paid twice or anything else than fixed. What is
/// left after the deadline goes back to who funded it. Leaf: keccak256(keccak256(abi.encode(index, account, amount))),
/// pairs sorted. Who: agents of the token with PAYOUT; claiming is open to all.
contract Distributor is HubUpgradeable, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Distribution {
        address token;
        uint64 recordBlock;
        address currency;
        uint64 deadline; // unix seconds
        address funder;
        bool swept;
        bytes32 root;
        uint256 total; // payment units
        uint256 paid; // payment units
    }

    /// @param index The leaf's number; each number is paid once.
    /// @param amount Payment units.
    struct Payout {
        uint256 index;
        address account;
        uint256 amount;
        bytes32[] proof;
    }

    /// @custom:storage-location erc7201:rwahub.storage.Distributor
    struct DistributorStorage {
        uint256 count;
        mapping(uint256 id => Distribution) distributions;
        mapping(uint256 id => mapping(uint256 word => uint256)) paidBits;
    }

    // keccak256(abi.encode(uint256(keccak256("rwahub.storage.Distributor")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant DISTRIBUTOR_STORAGE = 0xf5e5de7594ea4df942e0da1ae0ed86c71f8dea8dea4c03140bd1a9c119ac1900;

    event DistributionCreated(
        uint256 indexed id,
        address indexed token,
        address indexed currency,
        uint64 recordBlock,
        bytes32 root,
        uint256 total,
        uint64 deadline,
        string description
    );
    event Claimed(uint256 indexed id, address indexed account, uint256 index, uint256 amount);
    /// @notice A pushed payment did not go through (frozen holder, currency refused); it can be pushed or claimed again.
    event PayoutFailed(uint256 indexed id, address indexed account, uint256 index, uint256 amount);
    event Swept(uint256 indexed id, address indexed to, uint256 amount);

    error UnknownDistribution(uint256 id);
    error InvalidDistribution();
    error NotPayoutAgent(address account);
    error AlreadyPaid(uint256 id, uint256 index);
    error InvalidProof();
    error AccountFrozen(address account);
    /// @notice The leaves add up to more than the total that was funded.
    error TotalExceeded(uint256 id);
    error DeadlinePassed(uint64 deadline);
    error DeadlineNotReached(uint64 deadline);
    error FundingShort(uint256 received, uint256 expected);

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("Distributor");
    }

    /// @notice Announces and funds a distribution; `total` payment units are taken from the caller. PAYOUT right.
    /// @param recordBlock Holders at the end of this block are paid; it must have passed.
    /// @param deadline Unix seconds; claims until then, {sweep} after.
    function create(
        address token,
        address currency,
        uint64 recordBlock,
        bytes32 root,
        uint256 total,
        uint64 deadline,
        string calldata description
    ) external nonReentrant returns (uint256 id) {
        _checkAgent(token);
        if (recordBlock >= block.number || root == bytes32(0) || total == 0 || deadline <= block.timestamp) {
            revert InvalidDistribution();
        }
        DistributorStorage storage $ = _store();
        id = ++$.count;
        $.distributions[id] = Distribution({
            token: token,
            recordBlock: recordBlock,
            currency: currency,
            deadline: deadline,
            funder: msg.sender,
            swept: false,
            root: root,
            total: total,
            paid: 0
        });
        emit DistributionCreated(id, token, currency, recordBlock, root, total, deadline, description);
        _fund(IERC20(currency), total);
    }

    /// @notice Pays `p.account` what its leaf says. Anyone may call. Reverts: {InvalidProof}, {AlreadyPaid},
    /// {AccountFrozen}, {DeadlinePassed}, {TotalExceeded}.
    function claim(uint256 id, Payout calldata p) external nonReentrant {
        Distribution storage d = _running(id);
        _verify(id, d, p);
        if (IERC3643(d.token).isFrozen(p.account)) revert AccountFrozen(p.account);
        _book(id, d, p);
        emit Claimed(id, p.account, p.index, p.amount);
        IERC20(d.currency).safeTransfer(p.account, p.amount);
    }

    /// @notice Pays many; a payment that cannot be made is reported by {PayoutFailed} and does not stop the others, one
    /// that was made already is skipped. PAYOUT right.
    function pushBatch(uint256 id, Payout[] calldata payouts) external nonReentrant {
        Distribution storage d = _running(id);
        _checkAgent(d.token);
        for (uint256 k = 0; k < payouts.length; ++k) {
            Payout calldata p = payouts[k];
            if (isPaid(id, p.index)) continue;
            _verify(id, d, p);
            _push(id, d, p);
        }
    }

    /// @notice Returns what is left after the deadline to the funder. PAYOUT right.
    function sweep(uint256 id) external nonReentrant {
        Distribution storage d = _known(id);
        _checkAgent(d.token);
        if (block.timestamp <= d.deadline) revert DeadlineNotReached(d.deadline);
        uint256 left = d.total - d.paid;
        if (d.swept || left == 0) revert InvalidDistribution();
        d.swept = true;
        emit Swept(id, d.funder, left);
        IERC20(d.currency).safeTransfer(d.funder, left);
    }

    function distribution(uint256 id) external view returns (Distribution memory) {
        return _store().distributions[id];
    }

    function count() external view returns (uint256) {
        return _store().count;
    }

    function isPaid(uint256 id, uint256 index) public view returns (bool) {
        return _store().paidBits[id][index >> 8] & (1 << (index & 0xff)) != 0;
    }

    function _push(uint256 id, Distribution storage d, Payout calldata p) private {
        if (IERC3643(d.token).isFrozen(p.account)) {
            emit PayoutFailed(id, p.account, p.index, p.amount);
            return;
        }
        _book(id, d, p);
        if (IERC20(d.currency).trySafeTransfer(p.account, p.amount)) {
            emit Claimed(id, p.account, p.index, p.amount);
            return;
        }
        _store().paidBits[id][p.index >> 8] &= ~(1 << (p.index & 0xff));
        d.paid -= p.amount;
        emit PayoutFailed(id, p.account, p.index, p.amount);
    }

    function _verify(uint256 id, Distribution storage d, Payout calldata p) private view {
        if (isPaid(id, p.index)) revert AlreadyPaid(id, p.index);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(p.index, p.account, p.amount))));
        if (!MerkleProof.verifyCalldata(p.proof, d.root, leaf)) revert InvalidProof();
    }

    function _book(uint256 id, Distribution storage d, Payout calldata p) private {
        if (d.paid + p.amount > d.total) revert TotalExceeded(id);
        d.paid += p.amount;
        _store().paidBits[id][p.index >> 8] |= 1 << (p.index & 0xff);
    }

    function _fund(IERC20 currency, uint256 total) private {
        uint256 before = currency.balanceOf(address(this));
        currency.safeTransferFrom(msg.sender, address(this), total);
        uint256 received = currency.balanceOf(address(this)) - before;
        if (received != total) revert FundingShort(received, total);
    }

    function _known(uint256 id) private view returns (Distribution storage d) {
        d = _store().distributions[id];
        if (d.root == bytes32(0)) revert UnknownDistribution(id);
    }

    function _running(uint256 id) private view returns (Distribution storage d) {
        d = _known(id);
        if (block.timestamp > d.deadline) revert DeadlinePassed(d.deadline);
    }

    function _checkAgent(address token) private view {
        if (!IAgentRights(token).hasRight(msg.sender, Rights.PAYOUT)) revert NotPayoutAgent(msg.sender);
    }

    function _store() private pure returns (DistributorStorage storage $) {
        assembly {
            $.slot := DISTRIBUTOR_STORAGE
        }
    }

    function _agentDefault() internal pure override returns (uint256) {
        return 0; // rights are the token's
    }
}
