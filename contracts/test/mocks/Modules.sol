// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRuleModule} from "../../src/interfaces/IRuleModule.sol";

/// @title A rule that can refuse, count and break
contract MockModule is IRuleModule {
    bool public refuse;
    bool public broken;
    uint256 public calls;
    uint256 public forcedCalls;

    function set(bool refuse_, bool broken_) external {
        (refuse, broken) = (refuse_, broken_);
    }

    function check(address, address, address, uint256) external view returns (bool) {
        return !refuse;
    }

    function onTransfer(address, address, address, uint256, bool forced) external {
        require(!broken, "broken");
        if (forced) ++forcedCalls;
        else ++calls;
    }
}
