// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AgentRights} from "../src/base/AgentRights.sol";
import {Distributor} from "../src/Distributor.sol";
import {DocumentRegistry} from "../src/DocumentRegistry.sol";
import {DvpSettlement} from "../src/DvpSettlement.sol";
import {PrimaryOffering} from "../src/PrimaryOffering.sol";
import {RedemptionQueue} from "../src/RedemptionQueue.sol";
import {RwaToken} from "../src/RwaToken.sol";
import {TokenFactory} from "../src/TokenFactory.sol";
import {EngineStore} from "../src/lib/EngineStore.sol";

/// @notice Each namespaced struct as a variable, so that the compiler prints its layout; tools/layout.mjs compares them
/// with layout/*.json. (The compiler's own layout of the contracts is empty: everything is in ERC-7201 namespaces.)
contract Layouts {
    AgentRights.AgentRightsStorage internal agentRights;
    EngineStore.EngineStorage internal complianceEngine;
    RwaToken.TokenStorage internal rwaToken;
    TokenFactory.FactoryStorage internal tokenFactory;
    DvpSettlement.DvpStorage internal dvpSettlement;
    PrimaryOffering.OfferingStorage internal primaryOffering;
    Distributor.DistributorStorage internal distributor;
    RedemptionQueue.QueueStorage internal redemptionQueue;
    DocumentRegistry.DocumentStorage internal documentRegistry;
}
