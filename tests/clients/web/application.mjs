// Joins Element Web's parts to an application: which homeserver, which language, which page. config.json says the rest.

import "matrix-js-sdk/src/browser-index";
import React from "react";
import ReactDOM from "react-dom";
import BasePlatform from "matrix-react-sdk/src/BasePlatform";
import PlatformPeg from "matrix-react-sdk/src/PlatformPeg";
import SdkConfig from "matrix-react-sdk/src/SdkConfig";
import { setLanguage } from "matrix-react-sdk/src/languageHandler";
import { setTheme } from "matrix-react-sdk/src/theme";
import AutoDiscoveryUtils from "matrix-react-sdk/src/utils/AutoDiscoveryUtils";

class Browser extends BasePlatform {
    getHumanReadableName() {
        return "Web Platform";
    }

    getDefaultDeviceDisplayName() {
        return "Element in Chromium";
    }

    async getConfig() {
        const answer = await fetch("/config.json");
        return answer.json();
    }

    async requestNotificationPermission() {
        return "denied";
    }

    async getAppVersion() {
        return "0";
    }

    reload() {
        window.location.reload();
    }
}

// The part of the address behind #/ is the page that is shown.
function pageOf(location) {
    const [screen, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    return { screen, params: Object.fromEntries(new URLSearchParams(query)) };
}

let shown = null;

function onNewScreen(screen, replace) {
    shown = `#/${screen}`;
    if (replace) {
        window.location.replace(shown);
    } else {
        window.location.assign(shown);
    }
}

async function start() {
    const platform = new Browser();
    PlatformPeg.set(platform);
    SdkConfig.put(await platform.getConfig());
    // Only now, for it reads the configuration as soon as it is loaded.
    const { default: MatrixChat } = await import("matrix-react-sdk/src/components/structures/MatrixChat");
    await setLanguage(["en"]);
    await setTheme();
    const server = await AutoDiscoveryUtils.validateServerConfigWithStaticUrls(SdkConfig.get("default_hs_url"));
    SdkConfig.add({ validated_server_config: { ...server, isDefault: true } });

    const { screen, params } = pageOf(window.location);
    window.matrixChat = ReactDOM.render(
        React.createElement(MatrixChat, {
            config: SdkConfig.get(),
            onNewScreen,
            realQueryParams: {},
            startingFragmentQueryParams: params,
            enableGuest: false,
            onTokenLoginCompleted: () => {},
            initialScreenAfterLogin: screen ? { screen, params } : undefined,
            defaultDeviceDisplayName: platform.getDefaultDeviceDisplayName(),
        }),
        document.getElementById("matrixchat"),
    );
    window.addEventListener("hashchange", () => {
        if (window.location.hash !== shown) {
            const next = pageOf(window.location);
            window.matrixChat.showScreen(next.screen, next.params);
        }
    });
}

start();
