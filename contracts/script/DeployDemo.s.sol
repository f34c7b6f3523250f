// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Deploy} from "./Deploy.s.sol";
import {MockUsd} from "../test/mocks/MockUsd.sol";
import {HubProxy} from "../src/base/HubProxy.sol";
import {RedemptionQueue} from "../src/RedemptionQueue.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";
import {Rights} from "../src/lib/Rights.sol";

/// @title The suite on a local anvil with a payment token, a bond, a redemption queue and investors
/// @notice Uses anvil's well-known accounts: 0 deployer, 1 KYC agent, 2 token agent, 3 attestation issuer, 4 guardian,
/// 5 and 6 investors (Germany, France), 7 to 9 owners of the Safe (2 of 3). Refuses any chain but 31337.
contract DeployDemo is Deploy {
    string private constant MNEMONIC = "test test test test test test test test test test test junk";

    struct Demo {
        MockUsd usd;
        RwaToken token;
        address policy;
        RedemptionQueue queue;
    }

    function run() external override {
        require(block.chainid == ANVIL, "the demo runs on chain 31337 only");
        Plan memory plan = _plan();
        vm.startBroadcast(_key(0));
        Suite memory s = _deploy(plan);
        Demo memory demo = _demo(s);
        _handOver(s, plan);
        vm.stopBroadcast();
        _onboard(s, 5, 276);
        _onboard(s, 6, 250);
        _mint(demo, 5);
        _mint(demo, 6);
        string memory more = string.concat(
            ",\n  \"demo\": {\n    \"MockUsd\": \"",
            vm.toString(address(demo.usd)),
            "\"",
            _inner("token", address(demo.token)),
            _inner("policy", demo.policy),
            _inner("RedemptionQueue", address(demo.queue)),
            "\n  }"
        );
        _write(s, plan, more);
    }

    function _plan() internal view override returns (Plan memory plan) {
        plan.deployer = _account(0);
        plan.kycAgent = _account(1);
        plan.tokenDeployer = _account(0);
        plan.safeOwners = new address[](3);
        for (uint32 k = 0; k < 3; ++k) {
            plan.safeOwners[k] = _account(7 + k);
        }
        plan.safeThreshold = 2;
        plan.delaySecs = vm.envOr("TIMELOCK_DELAY_SECS", uint256(1 hours));
        plan.feeBps = 10;
        plan.feeRecipient = _account(2);
    }

    /// @dev What needs the owner is done before the timelock takes over.
    function _demo(Suite memory s) private returns (Demo memory demo) {
        demo.usd = new MockUsd();
        uint256[] memory topics = new uint256[](2);
        (topics[0], topics[1]) = (1, 2);
        s.engine.addTrustedIssuer(_account(3), topics);
        s.engine.nameTopic(1, "identity checked (KYC)");
        s.engine.nameTopic(2, "qualified investor");
        (address token, address policy) = s.factory.deployToken(_terms(s));
        (demo.token, demo.policy) = (RwaToken(token), policy);
        demo.queue = RedemptionQueue(
            address(
                new HubProxy(
                    s.queueImplementation,
                    abi.encodeCall(RedemptionQueue.initialize, (address(s.timelock), token, address(demo.usd)))
                )
            )
        );
        s.engine.setCustody(address(demo.queue), true);
        // The bond's owner is the deployer until the hand-over, so that the queue can be given its right.
        demo.token.grantRights(address(demo.queue), Rights.SUPPLY);
        s.more = new address[](1);
        s.more[0] = token;
    }

    function _terms(Suite memory s) private pure returns (TokenFactory.TokenTerms memory t) {
        t.name = "ACME Bond 2031";
        t.symbol = "ACME31";
        t.isin = "DE000A0DEMO1";
        t.assetType = "bond";
        t.salt = "acme-2031";
        t.decimals = 6;
        t.owner = _account(0);
        t.rules = IComplianceEngine.RuleSet({
            maxBalance: 1_000_000e6,
            holderCap: 150,
            requiredTopics: 1 << 1,
            lockupSecs: 60,
            countryMode: IComplianceEngine.CountryMode.Allow,
            senderAttested: true
        });
        t.countries = new uint16[](3);
        (t.countries[0], t.countries[1], t.countries[2]) = (276, 250, 756);
        t.agents = new address[](4);
        t.rights = new uint256[](4);
        (t.agents[0], t.rights[0]) =
        (
            _account(2),
            Rights.ERC3643_AGENT | Rights.RULES | Rights.DOCUMENTS | Rights.PAYOUT | Rights.OFFER | Rights.REDEEM
        );
        (t.agents[1], t.rights[1]) = (_account(4), Rights.GUARD);
        (t.agents[2], t.rights[2]) = (address(s.safe), Rights.REVOKE);
        (t.agents[3], t.rights[3]) = (address(s.offering), Rights.SUPPLY);
    }

    function _onboard(Suite memory s, uint32 index, uint16 country) private {
        address investor = _account(index);
        vm.startBroadcast(_key(1));
        s.engine.registerIdentity(investor, investor, country);
        vm.stopBroadcast();
        vm.startBroadcast(_key(3));
        s.engine
            .attest(
                IComplianceEngine.Attestation(
                    // forge-lint: disable-next-line(unsafe-typecast)
                    investor,
                    1,
                    uint32(block.timestamp + 365 days),
                    uint32(block.timestamp) // until 2106
                ),
                _account(3),
                ""
            );
        vm.stopBroadcast();
    }

    function _mint(Demo memory demo, uint32 index) private {
        vm.startBroadcast(_key(2));
        demo.token.mint(_account(index), 1000e6);
        demo.usd.mint(_account(index), 100_000e6);
        vm.stopBroadcast();
    }

    function _account(uint32 index) private pure returns (address) {
        return vm.addr(_key(index));
    }

    function _key(uint32 index) private pure returns (uint256) {
        return vm.deriveKey(MNEMONIC, index);
    }
}
