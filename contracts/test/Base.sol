// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SuiteDeployer} from "../script/SuiteDeployer.sol";
import {MockUsd} from "./mocks/MockUsd.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {TokenPolicyView} from "../src/TokenPolicyView.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {Rights} from "../src/lib/Rights.sol";

/// @title Assertions
abstract contract Asserts {
    bool public IS_TEST = true;

    function assertTrue(bool ok, string memory what) internal pure {
        require(ok, string.concat("expected true: ", what));
    }

    function assertTrue(bool ok) internal pure {
        require(ok, "expected true");
    }

    function assertFalse(bool ok) internal pure {
        require(!ok, "expected false");
    }

    function assertEq(uint256 a, uint256 b) internal pure {
        if (a != b) revert NotEqual(a, b);
    }

    function assertEq(uint256 a, uint256 b, string memory what) internal pure {
        if (a != b) revert NotEqualIn(what, a, b);
    }

    function assertEq(address a, address b) internal pure {
        if (a != b) revert NotEqual(uint160(a), uint160(b));
    }

    function assertEq(bytes32 a, bytes32 b) internal pure {
        if (a != b) revert NotEqual(uint256(a), uint256(b));
    }

    function assertEq(string memory a, string memory b) internal pure {
        require(keccak256(bytes(a)) == keccak256(bytes(b)), string.concat("strings differ: ", a, " / ", b));
    }

    error NotEqual(uint256 a, uint256 b);
    error NotEqualIn(string what, uint256 a, uint256 b);
}

/// @title The whole suite with one token, four investors and a dollar
abstract contract Base is Asserts, SuiteDeployer {
    uint16 internal constant DE = 276;
    uint16 internal constant FR = 250;
    uint16 internal constant KP = 408;
    uint16 internal constant KYC_TOPIC = 1 << 1;
    uint256 internal constant ISSUER_KEY = 0xA11CE;
    bytes32 internal constant CASE = "court order 7";

    Suite internal s;
    Plan internal plan;
    RwaToken internal token;
    TokenPolicyView internal policy;
    MockUsd internal usd;

    address internal agent = address(0xA9E17);
    address internal kyc = address(0x4C7C);
    address internal guardian = address(0x6AA2D);
    address internal timelock;
    address internal safe;
    address internal issuer;
    address internal alice;
    address internal bob;
    address internal carol = address(0xCA401);
    address internal dave = address(0xDA7E);
    uint256 internal constant ALICE_KEY = 0xA;
    uint256 internal constant BOB_KEY = 0xB;

    uint256 internal constant AGENT_RIGHTS =
        Rights.ERC3643_AGENT | Rights.RULES | Rights.DOCUMENTS | Rights.PAYOUT | Rights.OFFER | Rights.REDEEM;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        issuer = vm.addr(ISSUER_KEY);
        alice = vm.addr(ALICE_KEY);
        bob = vm.addr(BOB_KEY);
        usd = new MockUsd();
        plan.deployer = address(this);
        for (uint256 k = 1; k <= 3; ++k) {
            plan.safeOwners.push(vm.addr(_ownerKey(k)));
        }
        plan.safeThreshold = 2;
        plan.delaySecs = 2 days;
        plan.kycAgent = kyc;
        plan.tokenDeployer = address(this);
        plan.feeRecipient = address(0xFEE);
        s = _deploy(plan);
        uint256[] memory topics = new uint256[](2);
        (topics[0], topics[1]) = (1, 2);
        s.engine.addTrustedIssuer(issuer, topics);
        _handOver(s, plan);
        timelock = address(s.timelock);
        safe = address(s.safe);
        (token, policy) = _newToken("ACME Bond", "salt-1");
        _onboard(alice, DE);
        _onboard(bob, DE);
        _onboard(carol, FR);
    }

    /// @dev Sorted by address: 1, 2, 3 map to ascending owners.
    function _ownerKey(uint256 k) internal pure returns (uint256) {
        return 0x5AFE00 + k;
    }

    function _rules() internal pure returns (IComplianceEngine.RuleSet memory r) {
        r.maxBalance = 1_000_000e6;
        r.holderCap = 100;
        r.requiredTopics = KYC_TOPIC;
        r.countryMode = IComplianceEngine.CountryMode.Allow;
        r.senderAttested = true;
    }

    function _terms(string memory name, string memory salt) internal view returns (TokenFactory.TokenTerms memory t) {
        t.name = name;
        t.symbol = "ACME";
        t.isin = "DE000A0TEST1";
        t.assetType = "bond";
        t.salt = salt;
        t.decimals = 6;
        t.owner = timelock;
        t.rules = _rules();
        t.countries = new uint16[](2);
        (t.countries[0], t.countries[1]) = (DE, FR);
        t.agents = new address[](3);
        t.rights = new uint256[](3);
        (t.agents[0], t.rights[0]) = (agent, AGENT_RIGHTS);
        (t.agents[1], t.rights[1]) = (guardian, Rights.GUARD);
        (t.agents[2], t.rights[2]) = (safe, Rights.REVOKE);
    }

    function _newToken(string memory name, string memory salt) internal returns (RwaToken t, TokenPolicyView v) {
        (address a, address b) = s.factory.deployToken(_terms(name, salt));
        return (RwaToken(a), TokenPolicyView(b));
    }

    function _onboard(address wallet, uint16 country) internal {
        vm.prank(kyc);
        s.engine.registerIdentity(wallet, wallet, country);
        _attest(wallet, 1, uint32(block.timestamp + 365 days));
    }

    function _attest(address identity, uint8 topic, uint32 validUntil) internal {
        IComplianceEngine.Attestation memory a =
            IComplianceEngine.Attestation(identity, topic, validUntil, uint32(block.timestamp));
        s.engine.attest(a, issuer, _sign(ISSUER_KEY, s.engine.attestationDigest(a)));
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 ss) = vm.sign(key, digest);
        return abi.encodePacked(r, ss, v);
    }

    function _mint(address to, uint256 amount) internal {
        vm.prank(agent);
        token.mint(to, amount);
    }

    function _transfer(address from, address to, uint256 amount) internal {
        vm.prank(from);
        token.transfer(to, amount);
    }

    function _expectRefused(IComplianceEngine.Reason reason, address from, address to, uint256 amount) internal {
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TransferRefused.selector, reason, from, to, amount));
    }

    function _expectMissing(address who, uint256 right) internal {
        vm.expectRevert(abi.encodeWithSignature("MissingRight(address,uint256)", who, right));
    }

    function _expectNotOwner(address who) internal {
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", who));
    }

    function _list(address a) internal pure returns (address[] memory l) {
        l = new address[](1);
        l[0] = a;
    }

    function _list(address a, address b) internal pure returns (address[] memory l) {
        l = new address[](2);
        (l[0], l[1]) = (a, b);
    }

    function _list(uint256 a) internal pure returns (uint256[] memory l) {
        l = new uint256[](1);
        l[0] = a;
    }

    function _list(uint256 a, uint256 b) internal pure returns (uint256[] memory l) {
        l = new uint256[](2);
        (l[0], l[1]) = (a, b);
    }

    function _countries(uint16 a) internal pure returns (uint16[] memory l) {
        l = new uint16[](1);
        l[0] = a;
    }

    function _bound(uint256 x, uint256 min, uint256 max) internal pure returns (uint256) {
        return min + x % (max - min + 1);
    }
}
