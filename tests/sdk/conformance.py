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
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import utils as openapi_utils
from alibabacloud_tea_openapi import utils_models
from variations import Variations


def config(endpoint, key_id="sim-key-id", secret="sim-key-secret", token=None):
    return utils_models.Config(
        access_key_id=key_id,
        access_key_secret=secret,
        security_token=token,
        endpoint=endpoint,
        protocol="http",
        region_id="cn-shanghai",
    )


def control(endpoint, path, body):
    """Another user of the account does this."""
    answer = urllib3.PoolManager().request("POST", f"http://{endpoint}/_sim/{path}", json=body)
    expect(f"control: {path} {body.get('instance_id', body.get('id'))}", answer.status, 200)


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
        control(endpoint, "instances", {"instance_id": f"ecd-many{number:02}", "instance_type": "CloudDesktop"})
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


def bounds(client, desktops):
    listing = lambda **fields: client.list_image(app.ListImageRequest(**fields)).body
    for size in (0, 101, -5):
        refusal(f"bounds: PageSize {size}", "InvalidPageSize", lambda: listing(page_size=size))
    for number in (0, -1):
        refusal(f"bounds: PageNumber {number}", "InvalidPageNumber", lambda: listing(page_number=number))
    beyond = listing(page_size=100, page_number=1_000_000_000)
    expect("bounds: a page past the last is empty", (beyond.data, beyond.count > 0), ([], True))
    expect("bounds: no such image", listing(image_id="imgc-none").count, 0)
    many = [app.ListImageRequestTagList(key=f"k{number}", value="v") for number in range(101)]
    refusal("bounds: 101 tags", "InvalidTagList", lambda: listing(tag_list=many))

    servers = lambda **fields: client.list_wuying_server(app.ListWuyingServerRequest(**fields)).body
    for size in (0, 101):
        refusal(f"bounds: PageSize {size} of workstations", "InvalidPageSize", lambda: servers(page_size=size))
    ids = [f"ws-{number}" for number in range(101)]
    refusal("bounds: 101 workstations", "InvalidWuyingServerIdList", lambda: servers(wuying_server_id_list=ids))
    second = servers(page_size=1, page_number=2)
    expect("bounds: the second of two workstations", (len(second.wuying_server_list), second.total_count), (1, 2))
    some = servers(wuying_server_id_list=["ws-sim0001", "ws-none"])
    ids = [row.wuying_server_id for row in some.wuying_server_list]
    expect("bounds: ids that there are not are left out", ids, ["ws-sim0001"])

    shown = lambda **fields: desktops.describe_desktops(
        ecd.DescribeDesktopsRequest(**{"region_id": "cn-shanghai"} | fields)
    ).body
    for most in (0, 101):
        refusal(f"bounds: MaxResults {most}", "InvalidMaxResults", lambda: shown(max_results=most))
    refusal("bounds: a token of nobody", "InvalidNextToken", lambda: shown(next_token="zz"))
    refusal("bounds: no region", "MissingRegionId", lambda: shown(region_id=None))
    ids = [f"ecd-{number}" for number in range(101)]
    refusal("bounds: 101 desktops", "InvalidDesktopId", lambda: shown(desktop_id=ids))
    expect("bounds: an empty list of ids filters nothing", shown(desktop_id=[]).total_count > 0, True)
    some = shown(desktop_id=["ecd-sim0001", "ecd-none"])
    expect("bounds: desktops that there are", [row.desktop_id for row in some.desktops], ["ecd-sim0001"])


def users_of_images(endpoint, client, desktops):
    image_id = client.list_image(app.ListImageRequest(page_size=1)).body.data[0].image_id
    for path, name in (("pools", "dg-c"), ("bundles", "b-c"), ("templates", "t-c"), ("groups", "aig-c")):
        control(endpoint, path, {"id": name, "image_id": image_id})
    region = "cn-shanghai"
    pools = desktops.describe_desktop_groups(
        ecd.DescribeDesktopGroupsRequest(region_id=region, image_id=[image_id], max_results=100)
    ).body.desktop_groups
    expect("users: pools", [(row.desktop_group_id, row.image_id) for row in pools], [("dg-c", image_id)])
    bundles = desktops.describe_bundles(
        ecd.DescribeBundlesRequest(
            region_id=region, bundle_type="CUSTOM", image_id=[image_id], support_multi_session=True, max_results=100
        )
    ).body.bundles
    expect("users: bundles", [(row.bundle_id, row.image_id) for row in bundles], [("b-c", image_id)])
    templates = desktops.describe_templates(
        ecd.DescribeTemplatesRequest(product_type="CloudDesktop", image_id=image_id, page_number=1, page_size=100)
    ).body
    expect("users: templates", [(row.template_id, row.image_id) for row in templates.data], [("t-c", image_id)])
    groups = client.list_app_instance_group(
        app.ListAppInstanceGroupRequest(product_type="CloudApp", app_center_image_id=image_id, page_number=1, page_size=100)
    ).body.app_instance_group_models
    expect("users: delivery groups", [row.app_instance_group_id for row in groups], ["aig-c"])
    for path, name in (("pools", "dg-c"), ("bundles", "b-c"), ("templates", "t-c"), ("groups", "aig-c")):
        control(endpoint, path, {"id": name, "image_id": ""})


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
    one_of_two = app.StopWuyingServerRequest(wuying_server_id_list=["ws-sim0001", "ws-none"])
    refusal("workstation: one of two unknown", "Instance.NotFound", lambda: client.stop_wuying_server(one_of_two))
    expect("workstation: then none is stopped", status().status, "RUNNING")
    none = app.StopWuyingServerRequest(wuying_server_id_list=[])
    refusal("workstation: none named", "MissingWuyingServerIdList", lambda: client.stop_wuying_server(none))


def sessions(endpoint, client):
    workstation = {"instance_id": "ws-bare", "instance_type": "WuyingServer", "sub_instance_ids": []}
    control(endpoint, "instances", workstation)
    create = lambda **fields: client.create_image_by_instance(
        app.CreateImageByInstanceRequest(
            **{"instance_id": "ws-bare", "instance_type": "WuyingServer", "image_name": "session"} | fields
        )
    )
    listed = client.list_wuying_server(app.ListWuyingServerRequest(wuying_server_id_list=["ws-bare"])).body
    expect("session: none to choose", listed.wuying_server_list[0].instance_info_list, [])
    refusal("session: has to be sent", "MissingSubInstanceId", create)
    refusal("session: one that there is not", "Instance.NotFound", lambda: create(sub_instance_id="p-bare"))
    control(endpoint, "instances", workstation | {"sub_instance_ids": ["p-1", "p-2"]})
    refusal("session: of several one", "MissingSubInstanceId", create)
    refusal("session: one of another", "Instance.NotFound", lambda: create(sub_instance_id="p-sim0001"))
    refusal(
        "session: no user data to clean", "InvalidAutoCleanUserdata",
        lambda: create(sub_instance_id="p-2", auto_clean_userdata=True),
    )
    expect("session: the second one", create(sub_instance_id="p-2").body.success, True)
    of_desktop = dict(instance_id="ecd-sim0001", instance_type="CloudDesktop", sub_instance_id="p-1")
    refusal("session: desktops have none", "InvalidSubInstanceId", lambda: create(**of_desktop))


def maintenance(client):
    region, one = "cn-shanghai", "ecd-sim0001"
    put = lambda **fields: client.set_desktop_maintenance(
        ecd.SetDesktopMaintenanceRequest(**{"region_id": region, "desktop_ids": [one], "mode": "ENTER"} | fields)
    ).body
    flags = lambda: client.describe_desktops(
        ecd.DescribeDesktopsRequest(region_id=region, desktop_id=[one])
    ).body.desktops[0].management_flags
    for mode, shown in (("ENTER", ["Maintenance"]), ("EXIT", ["NoFlag"]), ("enter", ["Maintenance"])):
        put(mode=mode)
        expect(f"maintenance: {mode}", flags(), shown)
    for what, code, fields in (
        ("no region", "MissingRegionId", {"region_id": None}),
        ("no mode", "MissingMode", {"mode": None}),
        ("another mode", "InvalidMode", {"mode": "ON"}),
        ("no desktop", "MissingDesktopIds", {"desktop_ids": []}),
        ("101 desktops", "InvalidDesktopIds", {"desktop_ids": [f"ecd-{number}" for number in range(101)]}),
        ("another region", "InvalidDesktopId.NotFound", {"region_id": "cn-beijing", "mode": "EXIT"}),
        ("a workstation", "InvalidDesktopId.NotFound", {"desktop_ids": ["ws-sim0001"]}),
        ("one of two unknown", "InvalidDesktopId.NotFound", {"desktop_ids": [one, "ecd-none"], "mode": "EXIT"}),
    ):
        refusal(f"maintenance: {what}", code, lambda: put(**fields))
    expect("maintenance: what is refused changes nothing", flags(), ["Maintenance"])
    put(mode="EXIT", desktop_ids=[one, "ecd-sim0002"])
    expect("maintenance: two at once", flags(), ["NoFlag"])


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
    mode = ecd.StopDesktopsRequest(region_id=region, desktop_id=ids, stopped_mode="Hibernate")
    refusal("desktop: no such way to stop", "InvalidStoppedMode", lambda: client.stop_desktops(mode))
    one_of_two = ecd.StopDesktopsRequest(region_id=region, desktop_id=[*ids, "ecd-none"])
    refusal("desktop: one of two unknown", "InvalidDesktopId.NotFound", lambda: client.stop_desktops(one_of_two))
    expect("desktop: then none is stopped", status(), "Running")
    started = ecd.StartDesktopsRequest(region_id=region, desktop_id=ids)
    refusal("desktop: started twice", "IncorrectDesktopStatus", lambda: client.start_desktops(started))


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
    refusal("tags: at least one", "MissingTags", lambda: tag([image_id]))
    refusal("tags: of an image at least", "MissingResourceIds", lambda: tag([], a="b"))
    refusal("tags: of fifty images at most", "InvalidResourceIds", lambda: tag([f"imgc-{n}" for n in range(51)], a="b"))
    of_kind = lambda kind: client.tag_cloud_resources(
        app.TagCloudResourcesRequest(
            resource_type=kind, resource_ids=[image_id], tags=[app.TagCloudResourcesRequestTags(key="a", value="b")]
        )
    )
    refusal("tags: of another kind", "InvalidResourceType", lambda: of_kind("Desktop"))
    refusal("tags: of no kind", "MissingResourceType", lambda: of_kind(None))
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
    tags = lambda *pairs: [app.CreateImageByInstanceRequestTagList(key=key, value=value) for key, value in pairs]
    for what, wrong in (
        ("value of 129", tags(("k", "v" * 129))),
        ("key of 129", tags(("k" * 129, "v"))),
        ("empty value", tags(("k", ""))),
        ("empty key", tags(("", "v"))),
        ("no key", tags((None, "v"))),
        ("key twice", tags(("k", "a"), ("k", "b"))),
        ("21 tags", tags(*((f"k{number}", "v") for number in range(21)))),
    ):
        refusal(f"strict: tags, {what}", "InvalidTagList", lambda: create(tag_list=wrong))
    for name, value in (
        ("instance_type", "clouddesktop"),
        ("disk_type", "DATA"),
        ("product_type", "Desktop"),
    ):
        code = "Invalid" + "".join(word.capitalize() for word in name.split("_"))
        refusal(f"strict: {name} {value}", code, lambda: create(**{name: value}))
    for biz_type in (0, 5, -1, 11):
        refusal(f"strict: biz_type {biz_type}", "InvalidBizType", lambda: create(biz_type=biz_type))
    for missing in ("instance_id", "instance_type", "image_name"):
        code = "Missing" + "".join(word.capitalize() for word in missing.split("_"))
        refusal(f"strict: no {missing}", code, lambda: create(**{missing: None}))
    listing = lambda **fields: client.list_image(app.ListImageRequest(**fields))
    for fields, code in (
        ({"status": "available"}, "InvalidStatus"),
        ({"image_type": "Own"}, "InvalidImageType"),
        ({"biz_type": 7}, "InvalidBizType"),
        ({"product_type_list": ["CloudDesktop", "Desktop"]}, "InvalidProductTypeList"),
        ({"biz_region_id_list": ["mars"]}, "InvalidBizRegionIdList"),
        ({"tag_list": [app.ListImageRequestTagList(value="v")]}, "InvalidTagList"),
    ):
        refusal(f"strict: ListImage {[*fields]}", code, lambda: listing(**fields))
    elsewhere = ecd.StopDesktopsRequest(region_id="cn-beijing", desktop_id=["ecd-sim0001"])
    refusal("strict: another region", "InvalidDesktopId.NotFound", lambda: desktops.stop_desktops(elsewhere))
    listed = desktops.describe_desktops(ecd.DescribeDesktopsRequest(region_id="cn-beijing")).body
    expect("strict: desktops of another region", (listed.desktops, listed.total_count), ([], 0))
    nowhere = ecd.DescribeDesktopsRequest(region_id="cn-nowhere")
    refusal("strict: no such region", "InvalidRegionId", lambda: desktops.describe_desktops(nowhere))
    made = app.ListImageRequest(status="AVAILABLE", page_size=1)
    until("strict: an image to copy", 1, lambda: len(client.list_image(made).body.data))
    image_id = client.list_image(made).body.data[0].image_id
    distribute = lambda **fields: client.start_task_for_distribute_image(
        app.StartTaskForDistributeImageRequest(
            **{"image_id": image_id, "destination_region_list": ["cn-chengdu"]} | fields
        )
    )
    for what, code, fields in (
        ("to nowhere", "InvalidDestinationRegionList", {"destination_region_list": ["mars"]}),
        ("to no region", "ImageDistribute.TargetDistributeRegionListEmpty", {"destination_region_list": []}),
        ("from nowhere", "InvalidSourceRegion", {"source_region": "mars"}),
        ("of another product", "InvalidProductType", {"product_type": "Desktop"}),
        ("of no image", "MissingImageId", {"image_id": None}),
        ("of an unknown image", "Image.NotExist", {"image_id": "imgc-none"}),
        ("of another version", "Image.NotExist", {"version_id": "iv-none"}),
        ("to where it is made", "ImageDistribute.RepeatedDistribution", {"destination_region_list": ["cn-shanghai"]}),
    ):
        refusal(f"strict: distribution {what}", code, lambda: distribute(**fields))
    twice = distribute(destination_region_list=["cn-chengdu", "cn-chengdu"]).body
    regions = client.list_image(app.ListImageRequest(image_id=image_id)).body.data[0].image_region_list
    expect("strict: a region named twice", (twice.success, regions.count("cn-chengdu")), (True, 1))


def roles(endpoint):
    client = StsClient(config(endpoint))
    assume = lambda **fields: client.assume_role(
        sts.AssumeRoleRequest(
            **{"role_arn": "acs:ram::1000000000000001:role/baker", "role_session_name": "night"} | fields
        )
    ).body
    for what, code, fields in (
        ("no role", "MissingRoleArn", {"role_arn": None}),
        ("a role of another account", "EntityNotExist.Role", {"role_arn": "acs:ram::2:role/baker"}),
        ("a session name of one letter", "InvalidParameter.RoleSessionName", {"role_session_name": "x"}),
        ("899 seconds", "InvalidParameter.DurationSeconds", {"duration_seconds": 899}),
        ("a policy that is no JSON", "InvalidParameter.PolicyGrammar", {"policy": "{"}),
    ):
        refusal(f"role: {what}", code, lambda: assume(**fields))
    arn = "acs:ram::1000000000000001:assumed-role/baker/night"
    oidc = client.assume_role_with_oidc(
        sts.AssumeRoleWithOIDCRequest(
            role_arn="acs:ram::1000000000000001:role/baker",
            role_session_name="night",
            oidcprovider_arn="acs:ram::1000000000000001:oidc-provider/cluster",
            oidctoken="head.body.signature",
        )
    ).body
    for what, made in (("assumed", assume(policy='{"Version":"1"}')), ("by a token", oidc)):
        expect(f"role: {what}", made.assumed_role_user.arn, arn)
        key = made.credentials
        own = config(endpoint, key.access_key_id, key.access_key_secret, key.security_token)
        expect(f"role: {what}, its identity", StsClient(own).get_caller_identity().body.arn, arn)
        listing = lambda token: AppClient(
            config(endpoint, key.access_key_id, key.access_key_secret, token)
        ).list_image(app.ListImageRequest(page_size=1))
        expect(f"role: {what}, its key signs", listing(key.security_token).body.success, True)
        refusal(f"role: {what}, a wrong token", "InvalidSecurityToken.Expired", lambda: listing("made-up"))
        refusal(f"role: {what}, no token", "MissingSecurityToken", lambda: listing(None))


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
    with mock.patch.object(openapi_utils.Utils, "get_timestamp", return_value="28.11.2026 03:00"):
        refusal("signature: no date", "InvalidTimeStamp.Format", lambda: listing(AppClient(config(endpoint))))
    regions = lambda: AppClient(config(endpoint)).list_regions(app.ListRegionsRequest())
    refusal("an action that there is not", "InvalidApi.NotFound", regions)
    answer = urllib3.PoolManager().request("POST", f"http://{endpoint}/", headers={"x-acs-action": "ListImage"})
    expect("signature: none at all", (answer.status, answer.json()["Code"]), (400, "MissingAccessKeyId"))


def main():
    endpoint = sys.argv[1]
    client, desktop_client = AppClient(config(endpoint)), EcdClient(config(endpoint))
    expect("sts: account", StsClient(config(endpoint)).get_caller_identity().body.account_id, "1000000000000001")
    images(client)
    pages(endpoint, client, desktop_client)
    bounds(client, desktop_client)
    users_of_images(endpoint, client, desktop_client)
    workstations(client)
    sessions(endpoint, client)
    desktops(desktop_client)
    maintenance(desktop_client)
    tags(client)
    strictness(client, desktop_client)
    roles(endpoint)
    controls(endpoint)
    refusals(endpoint)
    Variations(endpoint, client, desktop_client, (config, expect, refusal, control, until)).run()
    print("all as expected")


main()
