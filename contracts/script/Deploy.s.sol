// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SuiteDeployer} from "./SuiteDeployer.sol";

/// @title Deploys the suite with its Safe and timelock and writes the addresses to deployments/<chain id>.json
/// @notice `contracts/run deploy` explains the settings. Without --broadcast this is a dry run, and the file is
/// deployments/<chain id>.dry-run.json; DEPLOYMENT=name takes the place of the chain id. Works on any chain; on a public one nothing has a default.
contract Deploy is SuiteDeployer {
    bool public constant IS_SCRIPT = true;

    uint256 internal constant ANVIL = 31337;
    uint256 internal constant MIN_DELAY_SECS = 1 days; // on a public network
    uint8 private constant SCRIPT_BROADCAST = 6;
    uint8 private constant SCRIPT_RESUME = 7;

    function run() external virtual {
        Plan memory plan = _plan();
        vm.startBroadcast();
        Suite memory s = _deploy(plan);
        _handOver(s, plan);
        vm.stopBroadcast();
        _write(s, plan, "");
    }

    /// @dev Every setting that decides about power must be given; only amounts and agents may be left for later.
    function _plan() internal view virtual returns (Plan memory plan) {
        plan.deployer = msg.sender;
        plan.safe = vm.envOr("SAFE", address(0));
        plan.safeOwners = vm.envOr("SAFE_OWNERS", ",", new address[](0));
        plan.safeThreshold = vm.envOr("SAFE_THRESHOLD", uint256(0));
        plan.delaySecs = vm.envOr("TIMELOCK_DELAY_SECS", uint256(0));
        plan.kycAgent = vm.envOr("KYC_AGENT", address(0));
        plan.tokenDeployer = vm.envOr("TOKEN_DEPLOYER", address(0));
        // forge-lint: disable-next-line(unsafe-typecast)
        plan.feeBps = uint16(vm.envOr("FEE_BPS", uint256(0))); // DvpSettlement refuses more than 500
        plan.feeRecipient = vm.envOr("FEE_RECIPIENT", address(0));
        _check(plan);
    }

    function _check(Plan memory plan) private view {
        require(vm.envOr("FEE_BPS", uint256(0)) <= type(uint16).max, "FEE_BPS: at most 500");
        if (plan.safe == address(0)) {
            require(plan.safeOwners.length >= 2, "set SAFE, or SAFE_OWNERS (at least two, comma separated)");
            require(plan.safeThreshold >= 2, "SAFE_THRESHOLD: at least 2");
            require(plan.safeThreshold <= plan.safeOwners.length, "SAFE_THRESHOLD: more than there are owners");
        } else {
            require(plan.safe.code.length != 0, "SAFE: no contract at this address");
        }
        require(plan.delaySecs >= (block.chainid == ANVIL ? 1 : MIN_DELAY_SECS), "TIMELOCK_DELAY_SECS: at least 86400");
    }

    /// @dev The file that the hub reads. Its shape is described in docs/contracts.md.
    function _write(Suite memory s, Plan memory plan, string memory more) internal {
        bool real = vm.isContext(SCRIPT_BROADCAST) || vm.isContext(SCRIPT_RESUME);
        string memory name = vm.envOr("DEPLOYMENT", vm.toString(block.chainid));
        name = string.concat(name, real ? ".json" : ".dry-run.json");
        vm.createDir("deployments", true);
        string memory json = string.concat(
            "{\n  \"format\": 1,\n  \"chainId\": ",
            vm.toString(block.chainid),
            ",\n  \"startBlock\": ",
            vm.toString(block.number),
            _entry("deployer", plan.deployer),
            _contracts(s),
            _implementations(s),
            _governance(s, plan),
            more,
            "\n}\n"
        );
        vm.writeFile(string.concat("deployments/", name), json);
    }

    function _contracts(Suite memory s) private pure returns (string memory) {
        string memory first = string.concat(
            ",\n  \"contracts\": {\n    \"VersionRegistry\": \"",
            vm.toString(address(s.versions)),
            "\"",
            _inner("DocumentRegistry", address(s.documents)),
            _inner("ComplianceEngine", address(s.engine)),
            _inner("TokenFactory", address(s.factory))
        );
        return string.concat(
            first,
            _inner("DvpSettlement", address(s.dvp)),
            _inner("PrimaryOffering", address(s.offering)),
            _inner("Distributor", address(s.distributor)),
            "\n  }"
        );
    }

    function _implementations(Suite memory s) private pure returns (string memory) {
        return string.concat(
            ",\n  \"implementations\": {\n    \"RwaToken\": \"",
            vm.toString(s.tokenImplementation),
            "\"",
            _inner("TokenPolicyView", s.policyImplementation),
            _inner("RedemptionQueue", s.queueImplementation),
            "\n  }"
        );
    }

    function _governance(Suite memory s, Plan memory plan) private pure returns (string memory) {
        return string.concat(
            ",\n  \"governance\": {\n    \"timelock\": \"",
            vm.toString(address(s.timelock)),
            "\"",
            _inner("safe", address(s.safe)),
            ",\n    \"delaySecs\": ",
            vm.toString(plan.delaySecs),
            "\n  }"
        );
    }

    function _entry(string memory key, address value) internal pure returns (string memory) {
        return string.concat(",\n  \"", key, "\": \"", vm.toString(value), "\"");
    }

    function _inner(string memory key, address value) internal pure returns (string memory) {
        return string.concat(",\n    \"", key, "\": \"", vm.toString(value), "\"");
    }
}
