// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Base} from "./Base.sol";
import {IComplianceEngine} from "../src/interfaces/IComplianceEngine.sol";

/// @notice Gas of the calls that matter, kept in snapshots/. `contracts/run gas` measures whole receipts on anvil.
contract GasTest is Base {
    function setUp() public override {
        super.setUp();
        IComplianceEngine.RuleSet memory r = _rules();
        r.lockupSecs = 1 days;
        vm.prank(timelock);
        s.engine.setRules(address(token), r);
        _mint(alice, 1000e6);
        _mint(bob, 1000e6);
        vm.warp(block.timestamp + 2 days);
    }

    function test_transfer() public {
        _transfer(alice, bob, 5e6);
        vm.snapshotGasLastCall("calls", "transfer");
    }

    function test_mint() public {
        _mint(alice, 5e6);
        vm.snapshotGasLastCall("calls", "mint");
    }

    function test_register() public {
        vm.prank(kyc);
        s.engine.registerIdentity(dave, dave, DE);
        vm.snapshotGasLastCall("calls", "registerIdentity");
    }

    function test_deployToken() public {
        s.factory.deployToken(_terms("Other Bond", "salt-2"));
        vm.snapshotGasLastCall("calls", "deployToken");
    }
}
