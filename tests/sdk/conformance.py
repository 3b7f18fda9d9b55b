"""Drives the simulator with the official Python SDK, unchanged, and ends with 1 at the first surprise.

    pip install alibabacloud-appstream-center20210901 alibabacloud-ecd20200930 alibabacloud-sts20150401
    imagebaked sim --build-time 3s --power-time 1s
    python tests/sdk/conformance.py 127.0.0.1:8480

`tests/sdk/run.sh` does all of this.

Expects a simulator with its default instances and key pair, freshly started. A build time of a few seconds keeps it short.
"""

import sys
import time
from unittest import mock

import urllib3
from alibabacloud_appstream_center20210901 import models as app
from alibabacloud_appstream_center20210901.client import Client as AppClient
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_ecd20200930.client import Client as EcdClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import utils as openapi_utils
from alibabacloud_tea_openapi import utils_models


def config(endpoint, key_id="sim-key-id", secret="sim-key-secret"):
    return utils_models.Config(
        access_key_id=key_id, access_key_secret=secret, endpoint=endpoint, protocol="http", region_id="cn-shanghai"
    )


def expect(what, found, wanted):
    if found != wanted:
        print(f"FAILED {what}: found {found!r}, wanted {wanted!r}")
        sys.exit(1)
    print(f"ok     {what}")


def refusal(what, code, call):
    try:
        answer = call()
    except Exception as error:  # the SDK has several error classes; all of them carry a code
        expect(what, getattr(error, "code", repr(error)), code)
        return error
    expect(what, answer, code)


def until(what, wanted, look, seconds=90):
    end = time.monotonic() + seconds
    while (found := look()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    expect(what, found, wanted)


def images(client):
    tags = [
        app.CreateImageByInstanceRequestTagList(key="环境", value="测试 a+b&c=d/e*~'()"),
        app.CreateImageByInstanceRequestTagList(key="run", value=str(time.time_ns())),
    ]
    name = f"镜像 {time.time_ns()} *~'()"
    create = lambda: client.create_image_by_instance(
        app.CreateImageByInstanceRequest(
            instance_id="ecd-sim0003",
            instance_type="CloudDesktop",
            image_name=name,
            description="说明：空格 and + % signs",
            auto_clean_userdata=True,
            disk_type="ALL",
            tag_list=tags,
        )
    )
    made = create().body
    expect("create: Success", made.success, True)
    expect("create: Code", made.code, "200")
    image_id = made.data.image_id
    expect("create: ids", [image_id[:5], made.data.version_id[:3], made.data.task_id[:4]], ["imgc-", "iv-", "tid-"])
    refusal("create: one task per instance", "ImageCreateByInstance.TaskExist", create)
    refusal(
        "delete: not while it is being made",
        "InvalidImageOperation.ImageIsCreating",
        lambda: client.delete_image(app.DeleteImageRequest(image_id=image_id)),
    )
    look = lambda: client.list_image(app.ListImageRequest(image_id=image_id)).body.data[0].status
    until("list: becomes AVAILABLE", "AVAILABLE", look)

    row = client.list_image(app.ListImageRequest(image_name=name)).body.data[0]
    expect("list: name comes back as sent", row.image_name, name)
    expect("list: description comes back as sent", row.description, "说明：空格 and + % signs")
    expect("list: tags", {tag.key: tag.value for tag in row.tag_list}, {tag.key: tag.value for tag in tags})
    by_tag = app.ListImageRequest(tag_list=[app.ListImageRequestTagList(key=tag.key, value=tag.value) for tag in tags])
    expect("list: by all tags", [row.image_id for row in client.list_image(by_tag).body.data], [image_id])

    task = client.start_task_for_distribute_image(
        app.StartTaskForDistributeImageRequest(image_id=image_id, destination_region_list=["cn-hangzhou"])
    ).body
    expect("distribute: task id", task.data[:4], "tid-")
    progress = lambda: {
        region.region_id: region.status
        for region in client.list_image(app.ListImageRequest(image_id=image_id)).body.data[0].image_region_distribute_list
    }
    until("distribute: arrives", {"cn-shanghai": "AVAILABLE", "cn-hangzhou": "AVAILABLE"}, progress)

    expect("delete: Data", client.delete_image(app.DeleteImageRequest(image_id=image_id)).body.data, True)
    expect("list: deleted is hidden", client.list_image(app.ListImageRequest(image_id=image_id)).body.count, 0)
    refusal("delete: twice", "Image.NotExist", lambda: client.delete_image(app.DeleteImageRequest(image_id=image_id)))
    refusal(
        "create: unknown desktop",
        "DesktopInstance.NotFound",
        lambda: client.create_image_by_instance(
            app.CreateImageByInstanceRequest(instance_id="ecd-none", instance_type="CloudDesktop", image_name="nn")
        ),
    )


def pages(endpoint, client, desktops):
    count = 8  # below the default builder quota: all of these are in the making at once
    for number in range(count):
        added = urllib3.PoolManager().request(
            "POST",
            f"http://{endpoint}/_sim/instances",
            json={"instance_id": f"ecd-many{number:02}", "instance_type": "CloudDesktop", "status": "Running"},
        )
        expect(f"pages: desktop {number} added", added.status, 200)
    prefix = f"page-{time.time_ns()}-"
    for number in range(count):
        client.create_image_by_instance(
            app.CreateImageByInstanceRequest(
                instance_id=f"ecd-many{number:02}", instance_type="CloudDesktop", image_name=f"{prefix}{number}"
            )
        )
    seen = []
    for page in (1, 2, 3):
        body = client.list_image(app.ListImageRequest(image_name=prefix, page_size=3, page_number=page)).body
        expect(f"pages: count on page {page}", body.count, count)
        seen += [row.image_name for row in body.data]
    expect("pages: every image once", sorted(seen), sorted(f"{prefix}{number}" for number in range(count)))

    token, found = None, []
    while token != "":
        body = desktops.describe_desktops(
            ecd.DescribeDesktopsRequest(region_id="cn-shanghai", max_results=4, next_token=token)
        ).body
        found += [desktop.desktop_id for desktop in body.desktops]
        token = body.next_token
    expect("pages: every desktop once", (len(found), len(set(found))), (body.total_count, body.total_count))


def workstations(client):
    status = lambda: client.list_wuying_server(
        app.ListWuyingServerRequest(wuying_server_id_list=["ws-sim0001"])
    ).body.wuying_server_list[0]
    expect("workstation: session instance", status().instance_info_list[0].instance_id[:2], "p-")
    expect("workstation: runs", status().status, "RUNNING")
    stop = app.StopWuyingServerRequest(wuying_server_id_list=["ws-sim0001"], force=True)
    client.stop_wuying_server(stop)
    until("workstation: stops", "STOPPED", lambda: status().status)
    refusal("workstation: stop twice", "IncorrectInstanceStatus", lambda: client.stop_wuying_server(stop))
    describe = app.DescribeWuyingServerRequest(wuying_server_id="ws-sim0001")
    expect("workstation: describe", client.describe_wuying_server(describe).body.data.status, "STOPPED")
    client.start_wuying_server(app.StartWuyingServerRequest(wuying_server_id_list=["ws-sim0001"]))
    until("workstation: starts", "RUNNING", lambda: status().status)
    client.restart_wuying_server(app.RestartWuyingServerRequest(wuying_server_id_list=["ws-sim0001"]))
    until("workstation: restarts", "RUNNING", lambda: status().status)


def desktops(client):
    region, ids = "cn-shanghai", ["ecd-sim0001"]
    status = lambda: client.describe_desktops(
        ecd.DescribeDesktopsRequest(region_id=region, desktop_id=ids)
    ).body.desktops[0].desktop_status
    client.stop_desktops(ecd.StopDesktopsRequest(region_id=region, desktop_id=ids, stopped_mode="KeepCharging"))
    until("desktop: stops", "Stopped", status)
    client.start_desktops(ecd.StartDesktopsRequest(region_id=region, desktop_id=ids))
    until("desktop: starts", "Running", status)
    client.reboot_desktops(ecd.RebootDesktopsRequest(region_id=region, desktop_id=ids))
    until("desktop: reboots", "Running", status)
    listed = client.describe_images(ecd.DescribeImagesRequest(region_id=region)).body
    expect("desktop: images", listed.images, [])


def tags(client):
    image_id = client.create_image_by_instance(
        app.CreateImageByInstanceRequest(
            instance_id="ecd-sim0002",
            instance_type="CloudDesktop",
            image_name=f"tagged {time.time_ns()}",
            tag_list=[app.CreateImageByInstanceRequestTagList(key="a", value="1")],
        )
    ).body.data.image_id
    tag = lambda ids, **tags: client.tag_cloud_resources(
        app.TagCloudResourcesRequest(
            resource_type="CenterImageId",
            resource_ids=ids,
            tags=[app.TagCloudResourcesRequestTags(key=key, value=value) for key, value in tags.items()],
        )
    ).body.failed_resources
    shown = lambda: {
        tag.key: tag.value for tag in client.list_image(app.ListImageRequest(image_id=image_id)).body.data[0].tag_list
    }
    expect("tags: added and changed", (tag([image_id], a="2", 键="值"), shown()), ([], {"a": "2", "键": "值"}))
    failed = tag([image_id, "imgc-none"], b="3")
    expect("tags: one of two fails", [(row.resource_id, row.code) for row in failed], [("imgc-none", "Image.NotExist")])
    refusal("tags: no empty value", "InvalidTags", lambda: tag([image_id], c=""))
    many = {f"k{number}": "v" for number in range(18)}
    expect("tags: at most twenty", [row.code for row in tag([image_id], **many)], ["InvalidTags"])
    client.untag_cloud_resources(
        app.UntagCloudResourcesRequest(resource_type="CenterImageId", resource_ids=[image_id], tag_keys=["a", "b"])
    )
    expect("tags: removed", shown(), {"键": "值"})


def strictness(client, desktops):
    refusal(
        "strict: a filter that has no effect",
        "UnsupportedParameter",
        lambda: client.list_image(app.ListImageRequest(platform_name="Ubuntu")),
    )
    create = lambda **fields: client.create_image_by_instance(
        app.CreateImageByInstanceRequest(
            **{"instance_id": "ecd-sim0001", "instance_type": "CloudDesktop", "image_name": "good name"} | fields
        )
    )
    for name in ("x", "1st", "https://x", "x" * 129):
        refusal(f"strict: image name {name[:10]}", "InvalidImageName", lambda: create(image_name=name))
    refusal("strict: description", "InvalidDescription", lambda: create(description="d" * 257))
    long = [app.CreateImageByInstanceRequestTagList(key="k", value="v" * 129)]
    refusal("strict: tag value", "InvalidTagList", lambda: create(tag_list=long))
    elsewhere = ecd.StopDesktopsRequest(region_id="cn-beijing", desktop_id=["ecd-sim0001"])
    refusal("strict: another region", "InvalidDesktopId.NotFound", lambda: desktops.stop_desktops(elsewhere))
    listed = desktops.describe_desktops(ecd.DescribeDesktopsRequest(region_id="cn-beijing")).body
    expect("strict: desktops of another region", (listed.desktops, listed.total_count), ([], 0))
    nowhere = ecd.DescribeDesktopsRequest(region_id="cn-nowhere")
    refusal("strict: no such region", "InvalidRegionId", lambda: desktops.describe_desktops(nowhere))
    image_id = client.list_image(app.ListImageRequest(page_size=1)).body.data[0].image_id
    refusal(
        "strict: distribution to nowhere",
        "InvalidDestinationRegionList",
        lambda: client.start_task_for_distribute_image(
            app.StartTaskForDistributeImageRequest(image_id=image_id, destination_region_list=["mars"])
        ),
    )


def controls(endpoint):
    ask = lambda host: urllib3.PoolManager().request("GET", f"http://{endpoint}/_sim/state", headers={"host": host}).status
    found = [ask(host) for host in (endpoint, "localhost", "[::1]:80", "evil.example", "evil.example:8480")]
    expect("controls: only by the names of this host", found, [200, 200, 200, 421, 421])


def refusals(endpoint):
    listing = lambda client: client.list_image(app.ListImageRequest(page_size=1))
    error = refusal(
        "signature: wrong secret",
        "SignatureDoesNotMatch",
        lambda: listing(AppClient(config(endpoint, secret="wrong"))),
    )
    expect("signature: words", "server StringToSign is [ACS3-HMAC-SHA256" in str(error), True)
    refusal(
        "signature: unknown key",
        "InvalidAccessKeyId.NotFound",
        lambda: listing(AppClient(config(endpoint, key_id="nobody"))),
    )
    old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 16 * 60))
    with mock.patch.object(openapi_utils.Utils, "get_timestamp", return_value=old):
        refusal("signature: stale date", "InvalidTimeStamp.Expired", lambda: listing(AppClient(config(endpoint))))
    with mock.patch.object(openapi_utils.Utils, "get_nonce", return_value=f"once-{time.time_ns()}"):
        listing(AppClient(config(endpoint)))
        refusal("signature: repeated nonce", "SignatureNonceUsed", lambda: listing(AppClient(config(endpoint))))
    answer = urllib3.PoolManager().request("POST", f"http://{endpoint}/", headers={"x-acs-action": "ListImage"})
    expect("signature: none at all", (answer.status, answer.json()["Code"]), (400, "MissingAccessKeyId"))


def main():
    endpoint = sys.argv[1]
    client, desktop_client = AppClient(config(endpoint)), EcdClient(config(endpoint))
    expect("sts: account", StsClient(config(endpoint)).get_caller_identity().body.account_id, "1000000000000001")
    images(client)
    pages(endpoint, client, desktop_client)
    workstations(client)
    desktops(desktop_client)
    tags(client)
    strictness(client, desktop_client)
    controls(endpoint)
    refusals(endpoint)
    print("all as expected")


main()
