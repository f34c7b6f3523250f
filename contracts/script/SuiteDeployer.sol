// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Ownable2StepUpgradeable} from "@openzeppelin/contracts-upgradeable/access/Ownable2StepUpgradeable.sol";
import {ISafe, ISafeProxyFactory} from "./ISafe.sol";
import {Vm} from "./Vm.sol";
import {HubProxy} from "../src/base/HubProxy.sol";
import {AgentRights} from "../src/base/AgentRights.sol";
import {ComplianceEngine} from "../src/ComplianceEngine.sol";
import {Distributor} from "../src/Distributor.sol";
import {DocumentRegistry} from "../src/DocumentRegistry.sol";
import {DvpSettlement} from "../src/DvpSettlement.sol";
import {PrimaryOffering} from "../src/PrimaryOffering.sol";
import {RedemptionQueue} from "../src/RedemptionQueue.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {TokenPolicyView} from "../src/TokenPolicyView.sol";
import {VersionRegistry} from "../src/VersionRegistry.sol";
import {IVersionRegistry} from "../src/interfaces/IVersionRegistry.sol";
import {Rights} from "../src/lib/Rights.sol";

/// @title How the suite is put together; the tests and the deploy script use the same steps
/// @dev `deployer` owns everything while it is being set up and nothing afterwards: {_handOver} makes the timelock the
/// owner of every contract in two steps, raises its delay, and takes every role from the deployer.
abstract contract SuiteDeployer {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    string private constant SAFE_ARTIFACTS = "node_modules/@safe-global/safe-smart-account/build/artifacts/contracts/";

    struct Suite {
        VersionRegistry versions;
        DocumentRegistry documents;
        ComplianceEngine engine;
        TokenFactory factory;
        DvpSettlement dvp;
        PrimaryOffering offering;
        Distributor distributor;
        TimelockController timelock;
        ISafe safe;
        address tokenImplementation;
        address policyImplementation;
        address queueImplementation;
        address[] more; // further contracts the timelock shall own
    }

    struct Plan {
        address deployer;
        address[] safeOwners; // when `safe` is zero, a Safe with these owners is deployed
        uint256 safeThreshold;
        address safe;
        uint256 delaySecs;
        address kycAgent; // zero: nobody yet
        address tokenDeployer; // zero: nobody yet
        uint16 feeBps;
        address feeRecipient;
    }

    function _deploy(Plan memory plan) internal returns (Suite memory s) {
        address d = plan.deployer;
        s.versions = new VersionRegistry(d);
        s.documents = DocumentRegistry(
            _proxy(
                s.versions,
                "DocumentRegistry",
                address(new DocumentRegistry(s.versions)),
                abi.encodeCall(DocumentRegistry.initialize, (d))
            )
        );
        s.engine = ComplianceEngine(
            _proxy(
                s.versions,
                "ComplianceEngine",
                address(new ComplianceEngine(s.versions)),
                abi.encodeCall(ComplianceEngine.initialize, (d))
            )
        );
        s.tokenImplementation = address(new RwaToken(s.versions, s.documents));
        s.policyImplementation = address(new TokenPolicyView());
        s.queueImplementation = address(new RedemptionQueue(s.versions));
        s.versions.add(keccak256("RwaToken"), s.tokenImplementation, "1.0.0");
        s.versions.add(keccak256("TokenPolicyView"), s.policyImplementation, "1.0.0");
        s.versions.add(keccak256("RedemptionQueue"), s.queueImplementation, "1.0.0");
        s.factory = TokenFactory(
            _proxy(
                s.versions,
                "TokenFactory",
                address(new TokenFactory(s.versions)),
                abi.encodeCall(TokenFactory.initialize, (d, s.engine, s.tokenImplementation, s.policyImplementation))
            )
        );
        s.engine.grantRights(address(s.factory), Rights.BIND);
        s.dvp = DvpSettlement(
            _proxy(
                s.versions,
                "DvpSettlement",
                address(new DvpSettlement(s.versions)),
                abi.encodeCall(DvpSettlement.initialize, (d, plan.feeBps, plan.feeRecipient))
            )
        );
        s.offering = PrimaryOffering(
            _proxy(
                s.versions,
                "PrimaryOffering",
                address(new PrimaryOffering(s.versions)),
                abi.encodeCall(PrimaryOffering.initialize, (d))
            )
        );
        s.distributor = Distributor(
            _proxy(
                s.versions,
                "Distributor",
                address(new Distributor(s.versions)),
                abi.encodeCall(Distributor.initialize, (d))
            )
        );
        _govern(s, plan);
    }

    /// @dev Safe and timelock, and what the Safe may do at once: take away.
    function _govern(Suite memory s, Plan memory plan) private {
        s.safe = ISafe(plan.safe == address(0) ? _deploySafe(plan.safeOwners, plan.safeThreshold) : plan.safe);
        address[] memory proposers = new address[](2);
        (proposers[0], proposers[1]) = (address(s.safe), plan.deployer);
        address[] memory executors = new address[](1); // zero address: anyone may execute what is due
        s.timelock = new TimelockController(0, proposers, executors, plan.deployer);
        s.engine.grantRights(address(s.safe), Rights.REVOKE);
        s.versions.grantRights(address(s.safe), Rights.REVOKE);
        s.factory.grantRights(address(s.safe), Rights.REVOKE);
        if (plan.kycAgent != address(0)) s.engine.grantRights(plan.kycAgent, Rights.KYC);
        if (plan.tokenDeployer != address(0)) s.factory.grantRights(plan.tokenDeployer, Rights.DEPLOY);
    }

    /// @dev The last steps: the timelock accepts every ownership and slows down, the deployer lets go.
    function _handOver(Suite memory s, Plan memory plan) internal {
        address[] memory owned = _owned(s);
        address[] memory targets = new address[](owned.length + 1);
        uint256[] memory values = new uint256[](owned.length + 1);
        bytes[] memory calls = new bytes[](owned.length + 1);
        for (uint256 k = 0; k < owned.length; ++k) {
            Ownable2StepUpgradeable(owned[k]).transferOwnership(address(s.timelock));
            targets[k] = owned[k];
            calls[k] = abi.encodeCall(Ownable2StepUpgradeable.acceptOwnership, ());
        }
        targets[owned.length] = address(s.timelock);
        calls[owned.length] = abi.encodeCall(TimelockController.updateDelay, (plan.delaySecs));
        s.timelock.scheduleBatch(targets, values, calls, bytes32(0), bytes32(0), 0);
        s.timelock.executeBatch(targets, values, calls, bytes32(0), bytes32(0));
        s.timelock.renounceRole(s.timelock.PROPOSER_ROLE(), plan.deployer);
        s.timelock.renounceRole(s.timelock.CANCELLER_ROLE(), plan.deployer);
        s.timelock.renounceRole(s.timelock.DEFAULT_ADMIN_ROLE(), plan.deployer);
        _verify(s, plan);
    }

    /// @dev What must hold when the deployer lets go; the script stops here otherwise.
    function _verify(Suite memory s, Plan memory plan) internal view {
        address[] memory owned = _owned(s);
        for (uint256 k = 0; k < owned.length; ++k) {
            require(Ownable2StepUpgradeable(owned[k]).owner() == address(s.timelock), "not owned by the timelock");
            require(
                AgentRights(owned[k]).rightsOf(plan.deployer) == 0 || plan.deployer == plan.kycAgent
                    || plan.deployer == plan.tokenDeployer,
                "deployer kept a right"
            );
        }
        TimelockController t = s.timelock;
        require(t.getMinDelay() == plan.delaySecs, "timelock delay");
        require(t.hasRole(t.PROPOSER_ROLE(), address(s.safe)), "safe cannot propose");
        require(t.hasRole(t.CANCELLER_ROLE(), address(s.safe)), "safe cannot cancel");
        require(!t.hasRole(t.PROPOSER_ROLE(), plan.deployer), "deployer can propose");
        require(!t.hasRole(t.CANCELLER_ROLE(), plan.deployer), "deployer can cancel");
        require(!t.hasRole(t.DEFAULT_ADMIN_ROLE(), plan.deployer), "deployer is admin");
    }

    function _owned(Suite memory s) internal pure returns (address[] memory owned) {
        owned = new address[](7 + s.more.length);
        owned[0] = address(s.versions);
        owned[1] = address(s.documents);
        owned[2] = address(s.engine);
        owned[3] = address(s.factory);
        owned[4] = address(s.dvp);
        owned[5] = address(s.offering);
        owned[6] = address(s.distributor);
        for (uint256 k = 0; k < s.more.length; ++k) {
            owned[7 + k] = s.more[k];
        }
    }

    function _deploySafe(address[] memory owners, uint256 threshold) internal returns (address) {
        address singleton = _create(vm.getCode(string.concat(SAFE_ARTIFACTS, "SafeL2.sol/SafeL2.json")));
        address factory =
            _create(vm.getCode(string.concat(SAFE_ARTIFACTS, "proxies/SafeProxyFactory.sol/SafeProxyFactory.json")));
        address handler = _create(
            vm.getCode(
                string.concat(
                    SAFE_ARTIFACTS, "handler/CompatibilityFallbackHandler.sol/CompatibilityFallbackHandler.json"
                )
            )
        );
        bytes memory setup = abi.encodeCall(
            ISafe.setup, (owners, threshold, address(0), "", handler, address(0), 0, payable(address(0)))
        );
        return ISafeProxyFactory(factory).createProxyWithNonce(singleton, setup, 0);
    }

    function _create(bytes memory code) private returns (address made) {
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        require(made != address(0), "create failed");
    }

    /// @dev Lists the implementation and puts an initialised proxy before it.
    function _proxy(IVersionRegistry versions, string memory name, address implementation, bytes memory init)
        private
        returns (address)
    {
        versions.add(keccak256(bytes(name)), implementation, "1.0.0");
        return address(new HubProxy(implementation, init));
    }
}
