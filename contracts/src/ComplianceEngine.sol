// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {HubUpgradeable} from "./base/HubUpgradeable.sol";
import {IComplianceEngine} from "./interfaces/IComplianceEngine.sol";
import {IRuleModule} from "./interfaces/IRuleModule.sol";
import {IVersionRegistry} from "./interfaces/IVersionRegistry.sol";
import {Account, AccountBits} from "./lib/AccountBits.sol";
import {EngineRules} from "./lib/EngineRules.sol";
import {EngineStore} from "./lib/EngineStore.sol";
import {EngineTrust} from "./lib/EngineTrust.sol";
import {EngineWallets} from "./lib/EngineWallets.sol";
import {Rules, RuleBits} from "./lib/RuleBits.sol";
import {Rights} from "./lib/Rights.sol";

/// @title The compliance engine: who may hold which token, decided in one call per transfer
/// @notice One engine per deployment. Tokens call `on…` after they moved balances; the engine reverts when a rule is
/// broken and keeps the exact number of holders. Balances stay in the tokens: an identity with one wallet (the usual
/// case) is judged by that wallet's balance alone, one with several by asking the token for each of them.
/// Who: KYC agents register investors; trusted issuers attest; a token's RULES agents tighten and its owner loosens; the
/// engine's owner (timelock) trusts issuers and grants rights; holders of REVOKE take away at once.
contract ComplianceEngine is HubUpgradeable, EIP712Upgradeable, IComplianceEngine {
    /// @dev Most wallets of one identity that may hold tokens at the same time; bounds the balance sum per transfer.
    uint256 public constant MAX_WALLETS = 8;
    uint256 public constant MAX_MODULES = EngineRules.MAX_MODULES;
    uint256 public constant MAX_ISSUERS = EngineTrust.MAX_ISSUERS;
    uint16 public constant MAX_COUNTRY = EngineWallets.MAX_COUNTRY;

    bytes32 public constant ATTESTATION_TYPEHASH =
        keccak256("Attestation(address identity,uint8 topic,uint32 validUntil,uint32 issuedAt)");

    /// @dev One movement, loaded once and handed down.
    struct Move {
        address token;
        address from; // zero: mint
        address to; // zero: burn
        uint256 amount;
        uint256 fromBefore;
        uint256 toBefore;
        Rules rules;
        Account f; // sender's wallet word
        Account t; // receiver's wallet word
        address fId;
        address tId;
        Account fi; // sender's identity word
        Account ti; // receiver's identity word
    }

    constructor(IVersionRegistry versions_) HubUpgradeable(versions_) {}

    /// @param owner_ The timelock (or the deployer, who hands over in two steps).
    function initialize(address owner_) external initializer {
        __Ownable_init(owner_);
    }

    function kind() public pure override returns (bytes32) {
        return keccak256("ComplianceEngine");
    }

    // ---------------------------------------------------------------- movements (called by bound tokens)

    /// @notice Judges and books a holder's transfer. Reverts with {TransferRefused}.
    /// @param fromBefore Balance of `from` before the transfer, smallest units; likewise `toBefore`.
    function onTransfer(address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore) external {
        if (_plainlyFine(from, to, amount, fromBefore, toBefore)) return;
        Move memory m = _load(msg.sender, from, to, amount, fromBefore, toBefore);
        uint256 toOthers = _judgeOrRevert(m);
        if (from != to) _book(m, toOthers);
        if (m.rules.has(RuleBits.MODULES)) _callModules(m, false);
    }

    /// @notice Books a forced transfer. The receiver must still be eligible; limits, locks and modules do not apply.
    function onForced(address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore) external {
        Move memory m = _load(msg.sender, from, to, amount, fromBefore, toBefore);
        Reason reason = _judgeReceiver(m);
        if (reason != Reason.None) revert TransferRefused(reason, from, to, amount);
        if (from != to) _book(m, _othersOf(m.token, m.tId, m.ti, m.to, m.t));
        if (m.rules.has(RuleBits.MODULES)) _callModules(m, true);
    }

    /// @notice Judges and books a mint, and locks what was minted when the token has a lock-up.
    function onMint(address to, uint256 amount, uint256 toBefore) external {
        Move memory m = _load(msg.sender, address(0), to, amount, 0, toBefore);
        _book(m, _judgeOrRevert(m));
        uint256 lockupSecs = m.rules.lockupSecs();
        if (lockupSecs != 0 && !m.t.has(AccountBits.CUSTODY)) {
            EngineRules.mergeLock(m.token, to, amount, uint64(block.timestamp + lockupSecs));
        }
        if (m.rules.has(RuleBits.MODULES)) _callModules(m, false);
    }

    /// @notice Books a burn. Nothing is refused.
    function onBurn(address from, uint256 amount, uint256 fromBefore) external {
        Move memory m = _load(msg.sender, from, address(0), amount, fromBefore, 0);
        _book(m, 0);
        if (m.rules.has(RuleBits.MODULES)) _callModules(m, true);
    }

    /// @notice Books the move of everything from a lost wallet to another registered wallet of the same identity; its
    /// lock moves along.
    /// @param identity_ Must be the identity of both wallets.
    function onRecovery(address lost, address next, address identity_, uint256 amount, uint256 nextBefore) external {
        Move memory m = _load(msg.sender, lost, next, amount, amount, nextBefore);
        if (m.fId == address(0) || m.fId != m.tId || lost == next) revert IdentityMismatch(lost, next);
        if (m.fId != identity_) revert IdentityMismatch(lost, identity_);
        Reason reason = _judgeReceiver(m);
        if (reason != Reason.None) revert TransferRefused(reason, lost, next, amount);
        _book(m, 0);
        EngineStore.Lock memory lock_ = _engine().locks[m.token][lost];
        if (lock_.amount != 0) {
            delete _engine().locks[m.token][lost];
            emit LockSet(m.token, lost, 0, 0);
            if (lock_.until > block.timestamp) EngineRules.mergeLock(m.token, next, lock_.amount, lock_.until);
        }
        if (m.rules.has(RuleBits.MODULES)) _callModules(m, true);
    }

    // ---------------------------------------------------------------- questions

    /// @notice Why `token` would refuse this transfer; `from` zero asks about a mint. Pause and freezes are the token's.
    /// @param amount Smallest units.
    function check(address token, address from, address to, uint256 amount) external view returns (Reason reason) {
        if (!isBound(token)) return Reason.TokenNotBound;
        if (to == address(0)) return Reason.None;
        uint256 fromBefore = from == address(0) ? 0 : IERC20(token).balanceOf(from);
        Move memory m = _load(token, from, to, amount, fromBefore, IERC20(token).balanceOf(to));
        (reason,) = _judge(m);
    }

    function isBound(address token) public view returns (bool) {
        return _engine().rules[token].has(RuleBits.BOUND);
    }

    /// @notice Whether `wallet` is registered and has the attestations `token` requires (ERC-3643 `isVerified`).
    function isVerified(address token, address wallet) public view returns (bool) {
        Account w = _engine().accounts[wallet];
        (address id, Account i) = _identityOf(wallet, w);
        return _isEligible(w, id, i, _engine().rules[token].topics()) == 0;
    }

    /// @notice {isVerified}, and the wallet's country is accepted.
    function canReceive(address token, address wallet) external view returns (bool) {
        Account w = _engine().accounts[wallet];
        if (w.has(AccountBits.CUSTODY)) return true;
        return isVerified(token, wallet) && _countryAccepted(token, _engine().rules[token], w.country());
    }

    /// @notice Whether `wallet` is registered and, when the token asks that of senders, attested.
    function canSend(address token, address wallet) external view returns (bool) {
        Rules r = _engine().rules[token];
        Account w = _engine().accounts[wallet];
        (address id, Account i) = _identityOf(wallet, w);
        return _isEligible(w, id, i, r.has(RuleBits.SENDER_ATTESTED) ? r.topics() : 0) == 0;
    }

    function contains(address wallet) external view returns (bool) {
        return _engine().accounts[wallet].has(AccountBits.REGISTERED);
    }

    /// @notice The identity of `wallet`, zero when it has none.
    function identity(address wallet) public view returns (address) {
        Account a = _engine().accounts[wallet];
        return a.has(AccountBits.WALLET) ? a.identity() : address(0);
    }

    function investorCountry(address wallet) public view returns (uint16) {
        return _engine().accounts[wallet].country();
    }

    /// @dev ERC-3643 identity storage name.
    function storedIdentity(address wallet) external view returns (address) {
        return identity(wallet);
    }

    /// @dev ERC-3643 identity storage name.
    function storedInvestorCountry(address wallet) external view returns (uint16) {
        return investorCountry(wallet);
    }

    function isCustody(address account) external view returns (bool) {
        return _engine().accounts[account].has(AccountBits.CUSTODY);
    }

    /// @notice Number of identities that hold `token`; custody accounts are not counted.
    function holderCount(address token) external view returns (uint256) {
        return _engine().rules[token].holders();
    }

    /// @notice Number of tokens of which `wallet` has a balance.
    function tokensHeld(address wallet) external view returns (uint256) {
        return _engine().accounts[wallet].held();
    }

    /// @notice The wallets of `identity_` that hold any token, in no particular order.
    function holdingWallets(address identity_) external view returns (address[] memory) {
        return EngineWallets.holding(identity_);
    }

    function rulesOf(address token) external view returns (RuleSet memory) {
        return EngineRules.unpack(_engine().rules[token]);
    }

    /// @return Bit n set: receivers need an attestation of topic n.
    function requiredTopics(address token) external view returns (uint16) {
        return _engine().rules[token].topics();
    }

    function isCountryListed(address token, uint16 country) public view returns (bool) {
        return (_engine().countries[token][country >> 8] >> (country & 0xff)) & 1 == 1;
    }

    function lockOf(address token, address wallet) external view returns (uint256 amount, uint64 until) {
        EngineStore.Lock memory l = _engine().locks[token][wallet];
        return (l.amount, l.until);
    }

    function modulesOf(address token) external view returns (address[] memory) {
        return _engine().modules[token];
    }

    function attestation(address identity_, uint8 topic) external view returns (EngineStore.AttestationRecord memory) {
        return _engine().attestations[identity_][topic];
    }

    function trustedIssuers() external view returns (address[] memory) {
        return _engine().issuers;
    }

    /// @return Bit n set: the issuer may attest topic n. Zero: not trusted.
    function trustedTopics(address issuer) external view returns (uint16) {
        return _engine().issuerTopics[issuer];
    }

    // ---------------------------------------------------------------- investors (KYC agents)

    /// @notice Registers `wallet` as belonging to `identity_`, or again after {deleteIdentity}. KYC right.
    /// @param identity_ The wallet's own address (cheapest), another wallet that is its own identity (a further wallet
    /// of the same investor), or any other address such as an ONCHAINID contract. Zero means the wallet's own address.
    /// @param country ISO 3166-1 numeric.
    function registerIdentity(address wallet, address identity_, uint16 country) external onlyRight(Rights.KYC) {
        _register(wallet, identity_, country);
    }

    /// @notice {registerIdentity} for many; reverts as a whole.
    function batchRegisterIdentity(
        address[] calldata wallets,
        address[] calldata identities,
        uint16[] calldata countries
    ) external onlyRight(Rights.KYC) {
        if (wallets.length != identities.length || wallets.length != countries.length) {
            revert LengthMismatch();
        }
        for (uint256 k = 0; k < wallets.length; ++k) {
            _register(wallets[k], identities[k], countries[k]);
        }
    }

    /// @notice Takes `wallet` off the register at once: it can neither receive nor send. While it holds tokens its
    /// identity stays known, so limits and counts stay exact. KYC or REVOKE right.
    function deleteIdentity(address wallet) external {
        if (!hasRight(msg.sender, Rights.REVOKE)) _checkRight(Rights.KYC);
        EngineWallets.remove(wallet);
    }

    /// @notice Sets the country of a registered wallet. KYC right.
    function updateCountry(address wallet, uint16 country) external onlyRight(Rights.KYC) {
        EngineWallets.updateCountry(wallet, country);
    }

    /// @notice Moves a registered wallet that holds nothing to another identity. KYC right.
    function updateIdentity(address wallet, address newIdentity) external onlyRight(Rights.KYC) {
        EngineWallets.updateIdentity(wallet, newIdentity);
    }

    /// @notice Marks or unmarks a system account (redemption queue, custodian) that may hold any token of this engine
    /// without attestations and is not counted as a holder. Owner only; the account must hold nothing.
    function setCustody(address account, bool custody) external onlyOwner {
        EngineWallets.setCustody(account, custody);
    }

    // ---------------------------------------------------------------- attestations

    /// @notice Records an attestation that a trusted issuer signed (EIP-712), or that the issuer sends itself with an
    /// empty signature. Anyone may submit a signed one. Reverts: {IssuerNotTrusted}, {InvalidSignature},
    /// {StaleAttestation}, {InvalidTopic}, {InvalidAddress}.
    function attest(Attestation calldata a, address issuer, bytes calldata signature) external {
        if (a.identity == address(0)) revert InvalidAddress();
        if (a.topic > 15) revert InvalidTopic(a.topic);
        if (!EngineTrust.isTrusted(issuer, a.topic)) revert IssuerNotTrusted(issuer, a.topic);
        EngineStore.AttestationRecord storage record = _engine().attestations[a.identity][a.topic];
        if (a.validUntil <= block.timestamp || a.issuedAt > block.timestamp || a.issuedAt <= record.issuedAt) {
            revert StaleAttestation(a.validUntil, a.issuedAt);
        }
        if (msg.sender != issuer) {
            bytes32 digest = attestationDigest(a);
            if (!SignatureChecker.isValidSignatureNow(issuer, digest, signature)) revert InvalidSignature();
        }
        record.issuer = issuer;
        record.validUntil = a.validUntil;
        record.issuedAt = a.issuedAt;
        emit Attested(a.identity, a.topic, issuer, a.validUntil, a.issuedAt);
        EngineTrust.recompute(a.identity, _engine().accounts[a.identity].topics() | uint16(1 << a.topic));
    }

    /// @notice The EIP-712 digest that an issuer signs.
    function attestationDigest(Attestation calldata a) public view returns (bytes32) {
        return
            _hashTypedDataV4(keccak256(abi.encode(ATTESTATION_TYPEHASH, a.identity, a.topic, a.validUntil, a.issuedAt)));
    }

    /// @notice Revokes at once; an older signed attestation can then not be replayed. The issuer that gave it, KYC or
    /// REVOKE right.
    function revokeAttestation(address identity_, uint8 topic) external {
        EngineStore.AttestationRecord storage record = _engine().attestations[identity_][topic];
        if (record.issuer == address(0)) revert NoAttestation(identity_, topic);
        if (msg.sender != record.issuer && !hasRight(msg.sender, Rights.REVOKE)) _checkRight(Rights.KYC);
        record.issuer = address(0);
        record.validUntil = 0;
        record.issuedAt = uint32(block.timestamp);
        emit AttestationRevoked(identity_, topic, msg.sender);
        EngineTrust.recompute(identity_, _engine().accounts[identity_].topics() & ~uint16(1 << topic));
    }

    /// @notice Recomputes the cached summary of `identity_`, dropping what lapsed or whose issuer lost trust. Anyone;
    /// changes nothing but the gas of later transfers.
    function refresh(address identity_) external {
        EngineTrust.recompute(identity_, _engine().accounts[identity_].topics());
    }

    /// @notice Trusts `issuer` to attest `topics` (each 0..15). Owner only.
    function addTrustedIssuer(address issuer, uint256[] calldata topics) external onlyOwner {
        EngineTrust.add(issuer, topics);
    }

    /// @notice Changes what `issuer` may attest. Owner only; attestations of topics it loses stop counting at once.
    function updateIssuerClaimTopics(address issuer, uint256[] calldata topics) external onlyOwner {
        EngineTrust.update(issuer, topics);
    }

    /// @notice Ends the trust in `issuer`: everything it attested stops counting at once. Owner or REVOKE right.
    function removeTrustedIssuer(address issuer) external {
        if (msg.sender != owner()) _checkRight(Rights.REVOKE);
        EngineTrust.remove(issuer);
    }

    /// @notice Gives a topic its plain name, for front ends. Owner only.
    function nameTopic(uint8 topic, string calldata name) external onlyOwner {
        if (topic > 15) revert InvalidTopic(topic);
        emit TopicNamed(topic, name);
    }

    // ---------------------------------------------------------------- rules

    /// @notice Binds a token that has no supply yet, with its first rules. Owner or BIND right (the factory).
    function bindToken(address token, RuleSet calldata rules, uint16[] calldata countries) external {
        if (msg.sender != owner()) _checkRight(Rights.BIND);
        EngineRules.bind(token, rules, countries);
    }

    /// @notice Unbinds a token without supply. Owner only.
    function unbindToken(address token) external onlyOwner {
        EngineRules.unbind(token);
    }

    /// @notice Replaces the rules. The token's RULES agents may only tighten; the token's owner (timelock) may do both.
    function setRules(address token, RuleSet calldata next) external {
        EngineRules.setRules(token, next);
    }

    /// @notice Lists or unlists countries. RULES agents may unlist from an allow list, list on a block list, or prepare
    /// a list that is not in use; anything else needs the token's owner.
    function setCountries(address token, uint16[] calldata countries, bool listed) external {
        EngineRules.setCountries(token, countries, listed);
    }

    /// @notice Keeps at least `amount` of `wallet`'s balance locked until `until` (unix seconds). RULES agents may only
    /// extend a running lock (both values at least as high); the token's owner may set anything, zeros release.
    function lock(address token, address wallet, uint256 amount, uint64 until) external {
        EngineRules.lock(token, wallet, amount, until);
    }

    /// @notice Adds an external rule. Token's owner only.
    function addModule(address token, address module) external {
        EngineRules.addModule(token, module);
    }

    /// @notice Removes an external rule. Token's owner only.
    function removeModule(address token, address module) external {
        EngineRules.removeModule(token, module);
    }

    // ---------------------------------------------------------------- judging

    /// @dev The short way for most transfers: true only when every rule is met and nothing has to be booked. Whatever is
    /// out of the ordinary (custody, several wallets, lapsed summaries, modules, first or last holding, refusals) gets
    /// false and is judged in full. Saves 4,300 gas of memory and calls per transfer; test/Rules.t.sol fuzzes that it
    /// never allows what {check} refuses.
    function _plainlyFine(address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore)
        private
        view
        returns (bool)
    {
        EngineStore.EngineStorage storage $ = _engine();
        uint256 r = Rules.unwrap($.rules[msg.sender]);
        uint256 flags = r >> 240;
        if (flags & (RuleBits.BOUND | RuleBits.MODULES) != RuleBits.BOUND) return false;
        if (fromBefore <= amount || toBefore == 0 || from == to) return false;
        unchecked {
            // balances and limits have 128 bits
            uint256 max = uint128(r);
            if (max != 0 && toBefore + amount > max) return false;
            if (flags & RuleBits.LOCKS != 0 || uint32(r >> 208) != 0) {
                EngineStore.Lock storage l = $.locks[msg.sender][from];
                if (l.until > block.timestamp && fromBefore - amount < l.amount) return false;
            }
        }
        uint256 topics = uint16(r >> 192);
        uint256 epoch = topics == 0 ? 0 : $.epoch;
        (bool ok,) = _plainWallet($, from, flags & RuleBits.SENDER_ATTESTED != 0 ? topics : 0, epoch, false);
        if (!ok) return false;
        uint256 country;
        (ok, country) = _plainWallet($, to, topics, epoch, true);
        if (!ok) return false;
        if (flags & (RuleBits.COUNTRY_ALLOW | RuleBits.COUNTRY_BLOCK) == 0) return true;
        bool listed = ($.countries[msg.sender][country >> 8] >> (country & 0xff)) & 1 == 1;
        return listed == (flags & RuleBits.COUNTRY_ALLOW != 0);
    }

    /// @dev Registered, no custody account, attested by the cached summary, and (asked of receivers) the identity's only
    /// holding wallet: it holds the token, so a count of one means itself.
    function _plainWallet(
        EngineStore.EngineStorage storage $,
        address wallet,
        uint256 topics,
        uint256 epoch,
        bool alone
    ) private view returns (bool, uint256 country) {
        uint256 w = Account.unwrap($.accounts[wallet]);
        if ((w >> 244) & 7 != AccountBits.REGISTERED | AccountBits.WALLET) return (false, 0);
        country = uint16(w >> 160);
        address id = address(uint160(w));
        if (id != wallet) {
            w = Account.unwrap($.accounts[id]);
            if ((w >> 244) & AccountBits.WALLET != 0 && address(uint160(w)) != id) return (false, 0);
        }
        if (alone && (w >> 240) & 0xf != 1) return (false, 0);
        if (topics == 0) return (true, country);
        return (
            uint16(w >> 176) & topics == topics && w >> 248 == epoch && epoch != EngineTrust.LAST_EPOCH
                && block.timestamp < uint32(w >> 192),
            country
        );
    }

    function _load(address token, address from, address to, uint256 amount, uint256 fromBefore, uint256 toBefore)
        private
        view
        returns (Move memory m)
    {
        EngineStore.EngineStorage storage $ = _engine();
        m.rules = $.rules[token];
        if (!m.rules.has(RuleBits.BOUND)) revert TokenNotBound(token);
        m.token = token;
        m.from = from;
        m.to = to;
        m.amount = amount;
        m.fromBefore = fromBefore;
        m.toBefore = toBefore;
        if (from != address(0)) {
            m.f = $.accounts[from];
            (m.fId, m.fi) = _identityOf(from, m.f);
        }
        if (to != address(0)) {
            m.t = $.accounts[to];
            (m.tId, m.ti) = _identityOf(to, m.t);
        }
    }

    function _judgeOrRevert(Move memory m) private view returns (uint256 toOthers) {
        Reason reason;
        (reason, toOthers) = _judge(m);
        if (reason != Reason.None) revert TransferRefused(reason, m.from, m.to, m.amount);
    }

    /// @return toOthers What the receiver's other wallets hold; {_book} needs it again.
    function _judge(Move memory m) private view returns (Reason, uint256 toOthers) {
        if (m.from != address(0)) {
            Reason reason = _judgeSender(m);
            if (reason != Reason.None) return (reason, 0);
        }
        Reason refusal = _judgeReceiver(m);
        if (refusal != Reason.None) return (refusal, 0);
        toOthers = _othersOf(m.token, m.tId, m.ti, m.to, m.t);
        if (!m.t.has(AccountBits.CUSTODY) && m.fId != m.tId) {
            uint256 max = m.rules.maxBalance();
            if (max != 0 && toOthers + m.toBefore + m.amount > max) return (Reason.MaxBalanceExceeded, toOthers);
            if (m.toBefore + toOthers == 0 && m.amount != 0 && _capReached(m)) {
                return (Reason.HolderCapReached, toOthers);
            }
        }
        if (m.rules.has(RuleBits.MODULES) && !_modulesAllow(m)) return (Reason.ModuleRefused, toOthers);
        return (Reason.None, toOthers);
    }

    function _judgeSender(Move memory m) private view returns (Reason) {
        uint256 fault = _isEligible(m.f, m.fId, m.fi, m.rules.has(RuleBits.SENDER_ATTESTED) ? m.rules.topics() : 0);
        if (fault == 1) return Reason.SenderNotRegistered;
        if (fault == 2) return Reason.SenderNotAttested;
        if (m.rules.has(RuleBits.LOCKS) || m.rules.lockupSecs() != 0) {
            EngineStore.Lock storage l = _engine().locks[m.token][m.from];
            if (l.until > block.timestamp && m.fromBefore < m.amount + l.amount) return Reason.Locked;
        }
        return Reason.None;
    }

    function _judgeReceiver(Move memory m) private view returns (Reason) {
        uint256 fault = _isEligible(m.t, m.tId, m.ti, m.rules.topics());
        if (fault == 1) return Reason.ReceiverNotRegistered;
        if (fault == 2) return Reason.ReceiverNotAttested;
        if (!m.t.has(AccountBits.CUSTODY) && !_countryAccepted(m.token, m.rules, m.t.country())) {
            return Reason.CountryRefused;
        }
        return Reason.None;
    }

    /// @dev A sender who gives everything away makes room for the receiver.
    function _capReached(Move memory m) private view returns (bool) {
        uint256 cap = m.rules.holderCap();
        if (cap == 0 || m.rules.holders() < cap) return false;
        return !(m.rules.holders() == cap && _senderLeaves(m));
    }

    /// @dev Whether the sending identity holds nothing of the token after the move.
    function _senderLeaves(Move memory m) private view returns (bool) {
        return m.from != address(0) && m.amount != 0 && m.fromBefore == m.amount && !m.f.has(AccountBits.CUSTODY)
            && _othersOf(m.token, m.fId, m.fi, m.from, m.f) == 0;
    }

    /// @return fault 0 eligible, 1 not registered, 2 not attested.
    function _isEligible(Account w, address id, Account i, uint16 topics) private view returns (uint256 fault) {
        if (w.has(AccountBits.CUSTODY)) return 0;
        if (!w.has(AccountBits.REGISTERED)) return 1;
        if (i.has(AccountBits.WALLET) && i.identity() != id) return 1; // the identity became a wallet of another one
        return topics == 0 || _isAttested(id, i, topics) ? 0 : 2;
    }

    function _isAttested(address id, Account i, uint16 topics) private view returns (bool) {
        if (i.topics() & topics != topics) return false;
        uint8 epoch = _engine().epoch;
        if (i.epoch() == epoch && epoch != EngineTrust.LAST_EPOCH && block.timestamp < i.validUntil()) return true;
        for (uint256 topic = 0; topic < 16; ++topic) {
            if (topics & (1 << topic) != 0 && !EngineTrust.isValid(_engine().attestations[id][topic], topic)) {
                return false;
            }
        }
        return true;
    }

    function _countryAccepted(address token, Rules r, uint16 country) private view returns (bool) {
        if (r.has(RuleBits.COUNTRY_ALLOW)) return isCountryListed(token, country);
        if (r.has(RuleBits.COUNTRY_BLOCK)) return !isCountryListed(token, country);
        return true;
    }

    function _modulesAllow(Move memory m) private view returns (bool) {
        address[] storage list = _engine().modules[m.token];
        for (uint256 k = 0; k < list.length; ++k) {
            if (!IRuleModule(list[k]).check(m.token, m.from, m.to, m.amount)) return false;
        }
        return true;
    }

    function _callModules(Move memory m, bool forced) private {
        address[] memory list = _engine().modules[m.token];
        for (uint256 k = 0; k < list.length; ++k) {
            if (!forced) {
                IRuleModule(list[k]).onTransfer(m.token, m.from, m.to, m.amount, false);
                continue;
            }
            // An order of a court must not depend on a module's health.
            try IRuleModule(list[k]).onTransfer(m.token, m.from, m.to, m.amount, true) {}
            catch {
                emit ModuleFailed(m.token, list[k]);
            }
        }
    }

    // ---------------------------------------------------------------- booking

    /// @dev Keeps the number of holders, and which wallets of an identity hold anything, exact. Only wallets that start
    /// or stop holding the token cost storage.
    function _book(Move memory m, uint256 toOthers) private {
        if (m.amount == 0) return;
        bool sameIdentity = m.fId == m.tId;
        uint256 holders = m.rules.holders();
        uint256 before = holders;
        if (m.from != address(0) && m.fromBefore == m.amount) {
            if (!sameIdentity && _senderLeaves(m)) --holders;
            _walletLeaves(m.from, m.fId);
        }
        if (m.to != address(0) && m.toBefore == 0) {
            if (!sameIdentity && toOthers == 0 && !m.t.has(AccountBits.CUSTODY)) ++holders;
            _walletEnters(m.to, m.tId);
        }
        if (holders != before) {
            m.rules = m.rules.withHolders(holders);
            _engine().rules[m.token] = m.rules;
            emit HolderCountChanged(m.token, holders);
        }
    }

    function _walletEnters(address wallet, address id) private {
        EngineStore.EngineStorage storage $ = _engine();
        Account a = $.accounts[wallet];
        uint256 held = a.held();
        if (held == type(uint16).max) revert TooMany(type(uint16).max);
        $.accounts[wallet] = a.withHeld(held + 1);
        if (held != 0) return;
        Account i = $.accounts[id];
        uint256 wallets = i.wallets();
        if (wallets == MAX_WALLETS) revert TooMany(MAX_WALLETS);
        i = i.withWallets(wallets + 1);
        if (id != wallet) {
            if (!i.has(AccountBits.WALLET) && i.identity() == address(0)) i = i.withIdentity(wallet);
            else $.moreWallets[id].push(wallet);
        }
        $.accounts[id] = i;
    }

    function _walletLeaves(address wallet, address id) private {
        EngineStore.EngineStorage storage $ = _engine();
        Account a = $.accounts[wallet];
        uint256 held = a.held() - 1;
        a = a.withHeld(held);
        if (held == 0 && !a.has(AccountBits.REGISTERED)) a = EngineWallets.forgotten(a);
        $.accounts[wallet] = a;
        if (held != 0) return;
        Account i = $.accounts[id];
        i = i.withWallets(i.wallets() - 1);
        if (id != wallet) {
            if (!i.has(AccountBits.WALLET) && i.identity() == wallet) i = i.withIdentity(address(0));
            else _removeFrom($.moreWallets[id], wallet);
        }
        $.accounts[id] = i;
    }

    /// @dev What the other wallets of the identity hold of `token`. Free for an identity with one holding wallet.
    function _othersOf(address token, address id, Account i, address wallet, Account w)
        private
        view
        returns (uint256 sum)
    {
        uint256 count = i.wallets();
        if (count == 0 || (count == 1 && w.held() != 0)) return 0;
        address first = EngineWallets.firstWallet(id, i);
        if (first != address(0) && first != wallet) sum = IERC20(token).balanceOf(first);
        address[] storage more = _engine().moreWallets[id];
        for (uint256 k = 0; k < more.length; ++k) {
            if (more[k] != wallet) sum += IERC20(token).balanceOf(more[k]);
        }
    }

    // ---------------------------------------------------------------- helpers

    function _identityOf(address wallet, Account w) private view returns (address id, Account i) {
        if (!w.has(AccountBits.WALLET)) return (address(0), i);
        id = w.identity();
        i = id == wallet ? w : _engine().accounts[id];
    }

    function _register(address wallet, address identity_, uint16 country) private {
        if (wallet == address(0)) revert InvalidAddress();
        EngineWallets.checkCountry(country);
        if (identity_ == address(0)) identity_ = wallet;
        Account a = _engine().accounts[wallet];
        if (a.has(AccountBits.REGISTERED)) revert AlreadyRegistered(wallet);
        if (a.has(AccountBits.WALLET)) {
            // deleted while it held tokens: it can only come back as what it was
            if (a.identity() != identity_) revert WalletHoldsTokens(wallet, a.held());
        } else {
            EngineWallets.checkIdentity(wallet, a, identity_);
        }
        _engine().accounts[wallet] =
            a.withIdentity(identity_).withCountry(country).with(AccountBits.WALLET | AccountBits.REGISTERED);
        emit IdentityRegistered(wallet, identity_);
        emit IdentityStored(wallet, identity_);
        emit CountryUpdated(wallet, country);
    }

    /// @dev Callers know that `item` is in the list.
    function _removeFrom(address[] storage list, address item) private {
        uint256 k;
        while (list[k] != item) ++k;
        list[k] = list[list.length - 1];
        list.pop();
    }

    function _engine() private pure returns (EngineStore.EngineStorage storage) {
        return EngineStore.load();
    }

    function _agentDefault() internal pure override returns (uint256) {
        return Rights.KYC;
    }

    function _EIP712Name() internal pure override returns (string memory) {
        return "RWA Hub ComplianceEngine";
    }

    function _EIP712Version() internal pure override returns (string memory) {
        return "1";
    }
}
