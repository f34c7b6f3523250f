// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {EngineStore} from "../src/lib/EngineStore.sol";
import {Rights} from "../src/lib/Rights.sol";

contract IdentityTest is Base {
    address private constant ID = address(0x1D1D);
    address private constant W1 = address(0x3331);
    address private constant W2 = address(0x3332);
    ComplianceEngine private e;

    function setUp() public override {
        super.setUp();
        e = s.engine;
        _mint(alice, 1000e6);
    }

    function _register(address wallet, address id) private {
        vm.prank(kyc);
        e.registerIdentity(wallet, id, DE);
    }

    function _reverts(bytes4 selector, address who) private {
        vm.expectRevert(abi.encodeWithSelector(selector, who));
    }

    // ------------------------------------------------------------ register

    function test_register() public {
        vm.expectEmit(address(e));
        emit IComplianceEngine.IdentityRegistered(dave, dave);
        vm.expectEmit(address(e));
        emit IComplianceEngine.IdentityStored(dave, dave);
        vm.expectEmit(address(e));
        emit IComplianceEngine.CountryUpdated(dave, FR); // the country is in an event from the start
        vm.prank(kyc);
        e.registerIdentity(dave, address(0), FR);
        assertTrue(e.contains(dave));
        assertEq(e.identity(dave), dave);
        assertEq(e.storedIdentity(dave), dave);
        assertEq(e.investorCountry(dave), FR);
        assertEq(e.storedInvestorCountry(dave), FR);
    }

    function test_register_refusals() public {
        vm.startPrank(kyc);
        _reverts(IComplianceEngine.AlreadyRegistered.selector, alice);
        e.registerIdentity(alice, alice, DE);
        vm.expectRevert(IComplianceEngine.InvalidAddress.selector);
        e.registerIdentity(address(0), alice, DE);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidCountry.selector, 1000));
        e.registerIdentity(dave, dave, 1000);
        vm.stopPrank();
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.registerIdentity(dave, dave, DE);
    }

    function test_batch_register() public {
        uint16[] memory c = new uint16[](2);
        (c[0], c[1]) = (DE, FR);
        vm.startPrank(kyc);
        e.batchRegisterIdentity(_list(W1, W2), _list(ID, W2), c);
        vm.expectRevert(IComplianceEngine.LengthMismatch.selector);
        e.batchRegisterIdentity(_list(W1), _list(ID, W2), c);
        vm.expectRevert(IComplianceEngine.LengthMismatch.selector);
        e.batchRegisterIdentity(_list(W1, W2), _list(ID, W2), _countries(DE));
        vm.stopPrank();
        assertEq(e.identity(W1), ID);
        assertEq(e.investorCountry(W2), FR);
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.batchRegisterIdentity(_list(W1), _list(ID), _countries(DE));
    }

    // ------------------------------------------------------------ an address has one role

    function test_a_wallet_of_another_cannot_be_an_identity() public {
        _register(W1, ID);
        vm.prank(kyc);
        _reverts(IComplianceEngine.AddressIsIdentity.selector, W1);
        e.registerIdentity(W2, W1, DE);
        vm.prank(timelock);
        e.setCustody(dave, true);
        vm.prank(kyc);
        _reverts(IComplianceEngine.AddressIsIdentity.selector, dave);
        e.registerIdentity(W2, dave, DE);
    }

    function test_an_identity_in_use_cannot_become_a_wallet_of_another() public {
        _register(W1, ID);
        _attest(ID, 1, uint32(block.timestamp + 1 days));
        _transfer(alice, W1, 5);
        vm.startPrank(kyc);
        _reverts(IComplianceEngine.AddressIsIdentity.selector, ID);
        e.registerIdentity(ID, bob, DE);
        _reverts(IComplianceEngine.AddressIsIdentity.selector, ID);
        e.registerIdentity(ID, ID, DE);
        vm.stopPrank();
        vm.prank(timelock);
        _reverts(IComplianceEngine.AddressIsIdentity.selector, ID);
        e.setCustody(ID, true);
    }

    function test_wallets_of_an_identity_that_turned_wallet_are_not_eligible() public {
        _register(W1, ID);
        _attest(ID, 1, uint32(block.timestamp + 1 days));
        _register(ID, bob); // nobody holds through ID yet
        assertFalse(e.isVerified(address(token), W1));
        _expectRefused(IComplianceEngine.Reason.ReceiverNotRegistered, alice, W1, 1);
        _transfer(alice, W1, 1);
    }

    // ------------------------------------------------------------ several wallets

    function test_separate_identity_with_wallets() public {
        _register(W1, ID);
        _register(W2, ID);
        _attest(ID, 1, uint32(block.timestamp + 1 days));
        _transfer(alice, W1, 10);
        _transfer(alice, W2, 20);
        assertEq(e.holderCount(address(token)), 2);
        assertEq(e.holdingWallets(ID).length, 2);
        assertEq(e.holdingWallets(ID)[0], W1);
        assertEq(e.tokensHeld(W1), 1);
        _transfer(W1, alice, 10); // the first leaves, the second stays
        assertEq(e.holderCount(address(token)), 2);
        assertEq(e.holdingWallets(ID)[0], W2);
        _transfer(alice, W1, 10);
        _transfer(W2, alice, 20);
        assertEq(e.holdingWallets(ID)[0], W1);
        _transfer(W1, alice, 10);
        assertEq(e.holderCount(address(token)), 1);
        assertEq(e.holdingWallets(ID).length, 0);
    }

    function test_at_most_eight_wallets_hold() public {
        for (uint160 k = 0; k < 9; ++k) {
            _register(address(0x9000 + k), ID);
        }
        _attest(ID, 1, uint32(block.timestamp + 1 days));
        for (uint160 k = 0; k < 8; ++k) {
            _transfer(alice, address(0x9000 + k), 5);
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TooMany.selector, 8));
        token.transfer(address(0x9008), 5);
        _transfer(address(0x9003), address(0x9008), 5); // one leaves, one comes
        assertEq(e.holdingWallets(ID).length, 8);
        assertEq(e.holderCount(address(token)), 2);
    }

    function test_several_tokens_count_per_wallet() public {
        (RwaToken other,) = _newToken("Other", "salt-9");
        vm.prank(agent);
        other.mint(alice, 5);
        assertEq(e.tokensHeld(alice), 2);
        _transfer(alice, bob, 1000e6);
        assertEq(e.tokensHeld(alice), 1);
        assertEq(e.holdingWallets(alice).length, 1);
        assertEq(e.holderCount(address(other)), 1);
    }

    function test_deleted_self_identity_keeps_its_other_wallets() public {
        _register(W1, alice);
        _transfer(alice, W1, 10);
        vm.prank(kyc);
        e.deleteIdentity(alice);
        vm.prank(agent);
        token.forcedTransfer(alice, bob, 1000e6 - 10, CASE);
        assertEq(e.identity(alice), address(0));
        assertEq(e.holdingWallets(alice).length, 1);
        assertEq(e.holdingWallets(alice)[0], W1);
        _transfer(W1, bob, 4); // still of the same, attested identity
        vm.prank(kyc);
        e.registerIdentity(alice, alice, DE);
        _transfer(bob, alice, 1);
        assertEq(e.holdingWallets(alice).length, 2);
        assertEq(e.holderCount(address(token)), 2);
    }

    // ------------------------------------------------------------ changes

    function test_delete_and_return() public {
        vm.prank(kyc);
        e.deleteIdentity(alice);
        vm.startPrank(kyc);
        _reverts(IComplianceEngine.NotRegistered.selector, alice);
        e.deleteIdentity(alice);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.WalletHoldsTokens.selector, alice, 1));
        e.registerIdentity(alice, bob, DE); // it holds tokens: only as what it was
        e.registerIdentity(alice, alice, DE);
        vm.stopPrank();
        vm.prank(safe); // REVOKE
        e.deleteIdentity(bob);
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.deleteIdentity(carol);
    }

    function test_update_country() public {
        vm.startPrank(kyc);
        e.updateCountry(alice, FR);
        assertEq(policy.investorCountry(alice), FR);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidCountry.selector, 1001));
        e.updateCountry(alice, 1001);
        _reverts(IComplianceEngine.NotRegistered.selector, dave);
        e.updateCountry(dave, FR);
        vm.stopPrank();
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.updateCountry(alice, FR);
    }

    function test_update_identity() public {
        vm.startPrank(kyc);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.WalletHoldsTokens.selector, alice, 1));
        e.updateIdentity(alice, ID);
        vm.expectEmit(address(e));
        emit IComplianceEngine.WalletIdentityChanged(bob, bob, ID);
        e.updateIdentity(bob, ID);
        assertEq(e.identity(bob), ID);
        assertEq(e.investorCountry(bob), DE);
        assertFalse(policy.isVerified(bob)); // ID has no attestation
        e.updateIdentity(bob, address(0));
        assertEq(e.identity(bob), bob);
        assertTrue(policy.isVerified(bob));
        _reverts(IComplianceEngine.NotRegistered.selector, dave);
        e.updateIdentity(dave, ID);
        vm.stopPrank();
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.updateIdentity(bob, ID);
    }

    function test_custody() public {
        _expectNotOwner(kyc);
        vm.prank(kyc);
        e.setCustody(dave, true);
        vm.startPrank(timelock);
        vm.expectRevert(IComplianceEngine.InvalidAddress.selector);
        e.setCustody(address(0), true);
        _reverts(IComplianceEngine.AlreadyRegistered.selector, bob);
        e.setCustody(bob, true);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.WalletHoldsTokens.selector, alice, 1));
        e.setCustody(alice, true);
        _reverts(IComplianceEngine.NotRegistered.selector, dave);
        e.setCustody(dave, false);
        e.setCustody(dave, true);
        vm.stopPrank();
        assertTrue(e.isCustody(dave) && e.canReceive(address(token), dave) && e.canSend(address(token), dave));
        _transfer(alice, dave, 1000e6); // no attestation, no country, no maximum, no holder
        assertEq(e.holderCount(address(token)), 0);
        _transfer(dave, alice, 500e6);
        assertEq(e.holderCount(address(token)), 1);
        vm.prank(kyc);
        _reverts(IComplianceEngine.NotRegistered.selector, dave);
        e.updateCountry(dave, DE); // custody accounts are the owner's business
        vm.prank(timelock);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.WalletHoldsTokens.selector, dave, 1));
        e.setCustody(dave, false);
        _transfer(dave, alice, 500e6);
        vm.prank(timelock);
        e.setCustody(dave, false);
        assertFalse(e.canReceive(address(token), dave));
    }

    // ------------------------------------------------------------ attestations

    function _a(address id, uint8 topic, uint32 until, uint32 at)
        private
        pure
        returns (IComplianceEngine.Attestation memory)
    {
        return IComplianceEngine.Attestation(id, topic, until, at);
    }

    function test_attest_refusals() public {
        uint32 now_ = uint32(block.timestamp);
        IComplianceEngine.Attestation memory a = _a(dave, 1, now_ + 10, now_);
        bytes memory sig = _sign(ISSUER_KEY, e.attestationDigest(a));
        a.validUntil = now_ + 11;
        vm.expectRevert(IComplianceEngine.InvalidSignature.selector);
        e.attest(a, issuer, sig);
        a.validUntil = now_ + 10;
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.IssuerNotTrusted.selector, bob, 1));
        e.attest(a, bob, sig);
        e.attest(a, issuer, sig);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.StaleAttestation.selector, now_ + 10, now_));
        e.attest(a, issuer, sig); // replay
        a = _a(dave, 1, now_ + 10, now_ + 1);
        vm.expectPartialRevert(IComplianceEngine.StaleAttestation.selector); // dated in the future
        e.attest(a, issuer, sig);
        a = _a(carol, 2, now_, now_);
        vm.expectPartialRevert(IComplianceEngine.StaleAttestation.selector); // expired
        e.attest(a, issuer, sig);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidTopic.selector, 16));
        e.attest(_a(dave, 16, now_ + 10, now_), issuer, sig);
        vm.expectRevert(IComplianceEngine.InvalidAddress.selector);
        e.attest(_a(address(0), 1, now_ + 10, now_), issuer, sig);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.IssuerNotTrusted.selector, issuer, 3));
        e.attest(_a(dave, 3, now_ + 10, now_), issuer, sig);
    }

    function test_attestation_of_another_chain_is_refused() public {
        IComplianceEngine.Attestation memory a = _a(dave, 1, uint32(block.timestamp + 10), uint32(block.timestamp));
        bytes memory sig = _sign(ISSUER_KEY, e.attestationDigest(a));
        vm.chainId(5);
        vm.expectRevert(IComplianceEngine.InvalidSignature.selector);
        e.attest(a, issuer, sig);
    }

    function test_issuer_may_send_itself() public {
        vm.prank(issuer);
        e.attest(_a(dave, 1, uint32(block.timestamp + 10), uint32(block.timestamp)), issuer, "");
        EngineStore.AttestationRecord memory r = e.attestation(dave, 1);
        assertEq(r.issuer, issuer);
        assertEq(r.validUntil, block.timestamp + 10);
    }

    function test_revocation_counts_at_once_and_cannot_be_undone_by_replay() public {
        uint32 signedAt = uint32(block.timestamp);
        IComplianceEngine.Attestation memory old = _a(alice, 1, signedAt + 10 days, signedAt + 5);
        bytes memory sig = _sign(ISSUER_KEY, e.attestationDigest(old));
        vm.warp(block.timestamp + 100);
        vm.prank(issuer);
        e.revokeAttestation(alice, 1);
        assertFalse(policy.isVerified(alice));
        vm.expectPartialRevert(IComplianceEngine.StaleAttestation.selector);
        e.attest(old, issuer, sig);
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.NoAttestation.selector, alice, 1));
        e.revokeAttestation(alice, 1);
        _expectMissing(agent, Rights.KYC);
        vm.prank(agent);
        e.revokeAttestation(bob, 1);
        vm.prank(kyc);
        e.revokeAttestation(bob, 1);
        vm.prank(safe);
        e.revokeAttestation(carol, 1);
        vm.warp(block.timestamp + 1);
        _attest(alice, 1, uint32(block.timestamp + 1 days));
        assertTrue(policy.isVerified(alice));
    }

    function test_losing_trust_counts_at_once() public {
        _transfer(alice, bob, 5);
        vm.prank(safe); // REVOKE, no delay
        e.removeTrustedIssuer(issuer);
        assertFalse(policy.isVerified(alice));
        _expectRefused(IComplianceEngine.Reason.SenderNotAttested, alice, bob, 5);
        _transfer(alice, bob, 5);
        vm.prank(timelock);
        e.addTrustedIssuer(issuer, _list(1));
        assertTrue(policy.isVerified(alice)); // by looking at the attestation itself
        _transfer(alice, bob, 5);
        e.refresh(alice);
        e.refresh(bob);
        _transfer(alice, bob, 5);
    }

    function test_refresh_drops_what_lapsed() public {
        _attest(alice, 2, uint32(block.timestamp + 10));
        vm.warp(block.timestamp + 20);
        assertTrue(policy.isVerified(alice)); // topic 1 still runs, the summary does not
        _transfer(alice, bob, 5);
        e.refresh(alice);
        _transfer(alice, bob, 5);
        vm.prank(kyc);
        e.revokeAttestation(alice, 1);
        assertFalse(policy.isVerified(alice));
    }

    function test_trusted_issuers() public {
        vm.startPrank(timelock);
        vm.expectRevert(IComplianceEngine.InvalidAddress.selector);
        e.addTrustedIssuer(issuer, _list(1));
        vm.expectRevert(IComplianceEngine.InvalidAddress.selector);
        e.addTrustedIssuer(address(0), _list(1));
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidTopic.selector, 16));
        e.addTrustedIssuer(dave, _list(16));
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidTopic.selector, type(uint256).max));
        e.addTrustedIssuer(dave, new uint256[](0));
        e.addTrustedIssuer(dave, _list(1, 15));
        e.updateIssuerClaimTopics(dave, _list(15));
        assertEq(e.trustedTopics(dave), 1 << 15);
        vm.expectPartialRevert(IComplianceEngine.IssuerNotTrusted.selector);
        e.updateIssuerClaimTopics(bob, _list(1));
        vm.expectPartialRevert(IComplianceEngine.IssuerNotTrusted.selector);
        e.removeTrustedIssuer(bob);
        e.removeTrustedIssuer(dave);
        assertEq(e.trustedIssuers().length, 1);
        e.addTrustedIssuer(dave, _list(1));
        e.removeTrustedIssuer(issuer); // not the last in the list
        assertEq(e.trustedIssuers()[0], dave);
        for (uint160 k = 1; k < 64; ++k) {
            e.addTrustedIssuer(address(0x70000 + k), _list(1));
        }
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.TooMany.selector, 64));
        e.addTrustedIssuer(bob, _list(1));
        e.nameTopic(1, "KYC");
        vm.expectRevert(abi.encodeWithSelector(IComplianceEngine.InvalidTopic.selector, 16));
        e.nameTopic(16, "x");
        vm.stopPrank();
        _expectNotOwner(kyc);
        vm.prank(kyc);
        e.addTrustedIssuer(bob, _list(1));
        _expectNotOwner(kyc);
        vm.prank(kyc);
        e.updateIssuerClaimTopics(dave, _list(1));
        _expectNotOwner(kyc);
        vm.prank(kyc);
        e.nameTopic(1, "x");
        _expectMissing(kyc, Rights.REVOKE);
        vm.prank(kyc);
        e.removeTrustedIssuer(dave);
    }

    function test_running_out_of_epochs_only_costs_gas() public {
        vm.startPrank(timelock);
        for (uint256 k = 0; k < 260; ++k) {
            e.updateIssuerClaimTopics(issuer, _list(1, 2));
        }
        vm.stopPrank();
        e.refresh(alice);
        assertTrue(policy.isVerified(alice));
        _transfer(alice, bob, 1);
        _transfer(alice, bob, 1);
    }
}
