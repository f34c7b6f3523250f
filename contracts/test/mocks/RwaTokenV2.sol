// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {RwaToken} from "../../src/RwaToken.sol";
import {IDocumentRegistry} from "../../src/interfaces/IERC1643.sol";
import {IVersionRegistry} from "../../src/interfaces/IVersionRegistry.sol";

/// @title A next version with one more thing
contract RwaTokenV2 is RwaToken {
    constructor(IVersionRegistry versions_, IDocumentRegistry documents_) RwaToken(versions_, documents_) {}

    function isSecondVersion() external pure returns (bool) {
        return true;
    }
}
