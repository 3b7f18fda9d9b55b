"""Records requests that the official Python SDK sends, with their signatures, in tests/data/acs3-more-requests.json.

    pip install alibabacloud-appstream-center20210901==5.9.0 alibabacloud-ecd20200930==5.5.0 alibabacloud-sts20150401==1.2.0
    python tests/sdk/capture.py > tests/data/acs3-more-requests.json

A loopback server takes what the SDK sends. All keys, tokens and ids are made up; date and nonce are as the SDK chose them, so
that each run writes other signatures. Canonical request and string to sign are derived here from the recorded request, after
the rules of the signature's page; a signature that does not follow from them ends the script. `tests/signing.rs` holds our
signer to every case.
"""

import hashlib
import hmac
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from urllib.parse import parse_qsl, quote

from alibabacloud_appstream_center20210901 import models as app
from alibabacloud_appstream_center20210901.client import Client as AppClient
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_ecd20200930.client import Client as EcdClient
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi import utils_models

KEY = ("made-up-key-id-0003", "made-up/secret+0123456789=abc", None)
STS_KEY = ("STS.made-up-key-id-0004", "made-up-sts-secret/98765+43210", "CAIS/madeup+token==/with spaces ~*'()/xyz==")
UNSIGNED = {"authorization", "accept-encoding", "content-length"}
RESERVED = "~*'() + a+b=c&d/e?f#g%h\"i\\j:k;l,m@n!o$p[q]r{s}t|u^v`w<x>y-_.z"


class Recorder(BaseHTTPRequestHandler):
    taken = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        Recorder.taken = (self.command, self.path, list(self.headers.items()), body.decode())
        answer = b'{"RequestId":"made-up"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def calls():
    """Name, note, client, key and call; between them every kind of parameter and every place where one travels."""
    region = "cn-shanghai"
    create = app.CreateImageByInstanceRequest
    tag, new_tag = app.TagCloudResourcesRequestTags, app.CreateImageByInstanceRequestTagList
    policy = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "ecd:*", "Resource": "acs:ecd:*:*:a b+c~'(é)"}]}
    return [
        ("enter-maintenance", "a list of one in the query", EcdClient, KEY, lambda it: it.set_desktop_maintenance(
            ecd.SetDesktopMaintenanceRequest(region_id=region, desktop_ids=["ecd-1"], mode="ENTER"))),
        ("leave-maintenance-sts", "a token with spaces and reserved characters", EcdClient, STS_KEY,
            lambda it: it.set_desktop_maintenance(
            ecd.SetDesktopMaintenanceRequest(region_id=region, desktop_ids=["ecd-1", "ecd-2"], mode="EXIT"))),
        ("describe-desktops-pooled", "a boolean, and a page token with reserved characters", EcdClient, KEY,
            lambda it: it.describe_desktops(ecd.DescribeDesktopsRequest(
                region_id=region, filter_desktop_group=False, image_id=["m-1", "m-2"], max_results=100,
                next_token="AAAAAV3+/MZpKfb8==~*"))),
        ("describe-bundles", "a boolean and a list in the query", EcdClient, KEY, lambda it: it.describe_bundles(
            ecd.DescribeBundlesRequest(region_id=region, bundle_type="CUSTOM", image_id=["m-1"], max_results=100,
                support_multi_session=True))),
        ("describe-desktop-groups-sts", "an empty list is not sent", EcdClient, STS_KEY,
            lambda it: it.describe_desktop_groups(ecd.DescribeDesktopGroupsRequest(
                region_id=region, image_id=["m-1"], end_user_ids=[], max_results=100))),
        ("describe-templates", "desktop service, but all in the body", EcdClient, KEY, lambda it: it.describe_templates(
            ecd.DescribeTemplatesRequest(product_type="CloudDesktop", image_id="m-1", page_number=1, page_size=100))),
        ("list-app-instance-group", "a query, and a body without parameters", AppClient, KEY,
            lambda it: it.list_app_instance_group(app.ListAppInstanceGroupRequest(
                product_type="CloudApp", app_center_image_id="imgc-1", page_number=1, page_size=100))),
        ("tag-cloud-resources", "a list of objects in the body, with every reserved character", AppClient, KEY,
            lambda it: it.tag_cloud_resources(app.TagCloudResourcesRequest(
                resource_type="CenterImageId", resource_ids=["imgc-1", "imgc-2"],
                tags=[tag(key="环境 env", value=RESERVED), tag(key="a*b~c+d", value="😀 é ß \u202e")]))),
        ("untag-cloud-resources-sts", "two lists in the body", AppClient, STS_KEY, lambda it: it.untag_cloud_resources(
            app.UntagCloudResourcesRequest(
                resource_type="CenterImageId", resource_ids=["imgc-1"], tag_keys=["环境 env", "a*b~c+d"]))),
        ("create-image-empty-strings", "empty strings in body and query", AppClient, KEY,
            lambda it: it.create_image_by_instance(create(
                instance_id="ecd-1", instance_type="CloudDesktop", image_name="n", description="", product_type="",
                tag_list=[new_tag(key="empty", value=""), new_tag(key="", value="no key")]))),
        ("create-image-lines", "line ends, tabs and characters beyond 16 bits", AppClient, STS_KEY,
            lambda it: it.create_image_by_instance(create(
                instance_id="ws-1", instance_type="WuyingServer", sub_instance_id="p-1", copy_profile=True,
                image_name="𝔊olden 镜像\t1", description="one\r\ntwo\nthree", biz_type=0,
                tag_list=[new_tag(key="路径", value="C:\\用户\\a b"), new_tag(key="x%20y", value="%2B+%")]))),
        ("list-image-tags", "tags in the query, lists of numbers and of text in the body", AppClient, KEY,
            lambda it: it.list_image(app.ListImageRequest(
                image_name="a b+c*d~é", biz_type_list=[1, 10], product_type_list=["CloudDesktop", "WuyingServer"],
                tag_list=[app.ListImageRequestTagList(key="k ~", value="v*"), app.ListImageRequestTagList(key="k+")],
                page_size=100))),
        ("distribute-with-source", "every parameter of the call", AppClient, KEY,
            lambda it: it.start_task_for_distribute_image(app.StartTaskForDistributeImageRequest(
                image_id="imgc-1", version_id="iv-1", destination_region_list=["cn-hangzhou"], source_region=region,
                product_type="CloudDesktop"))),
        ("list-servers-filters", "numbers, dates and lists in the body, a name with a slash", AppClient, KEY,
            lambda it: it.list_wuying_server(app.ListWuyingServerRequest(
                wuying_server_id_list=["ws-1", "ws-2"], wuying_server_name_or_id="a/b c", status="RUNNING", page_number=2,
                page_size=100, biz_region_id=region, image_id="imgc-1", create_time_start="2026-11-28T03:00:00+08:00"))),
        ("stop-server-forced-sts", "a boolean in the body", AppClient, STS_KEY, lambda it: it.stop_wuying_server(
            app.StopWuyingServerRequest(wuying_server_id_list=["ws-1"], force=True, product_type="WuyingServer"))),
        ("restart-servers", "a list of twelve, which text sorts otherwise than numbers", AppClient, KEY,
            lambda it: it.restart_wuying_server(app.RestartWuyingServerRequest(
                wuying_server_id_list=[f"ws-{number}" for number in range(12)]))),
        ("describe-server-sts", "one parameter with a token", AppClient, STS_KEY, lambda it: it.describe_wuying_server(
            app.DescribeWuyingServerRequest(wuying_server_id="ws-1"))),
        ("delete-image-reserved", "reserved characters in an id", AppClient, KEY, lambda it: it.delete_image(
            app.DeleteImageRequest(image_id=RESERVED))),
        ("list-image-nothing-sts", "no parameter at all, with a token", AppClient, STS_KEY, lambda it: it.list_image(
            app.ListImageRequest())),
        ("list-image-false-and-zero", "values that are false in Python are sent", AppClient, KEY, lambda it: it.list_image(
            app.ListImageRequest(page_size=0, page_number=0, biz_type=0, image_name="0", status=""))),
        ("stop-desktops-updates-sts", "a boolean that is false, and one more in the query", EcdClient, STS_KEY,
            lambda it: it.stop_desktops(ecd.StopDesktopsRequest(
                region_id=region, desktop_id=["ecd-1"], os_update=False, stopped_mode="KeepCharging"))),
        ("reboot-desktops", "ids with dots and blanks in the query", EcdClient, KEY, lambda it: it.reboot_desktops(
            ecd.RebootDesktopsRequest(region_id=region, desktop_id=["ecd-1.2", "ecd 3", "ecd~4*"]))),
        ("describe-images-page-sts", "a name in two scripts and a page token", EcdClient, STS_KEY,
            lambda it: it.describe_images(ecd.DescribeImagesRequest(
                region_id=region, image_type="CUSTOM", image_name="镜像 é+%2B", max_results=100, next_token="a+b/c=="))),
        ("assume-role-chained-sts", "a role that is assumed with the keys of another", StsClient, STS_KEY,
            lambda it: it.assume_role(sts.AssumeRoleRequest(
                role_arn="acs:ram::1000000000000001:role/second", role_session_name="a.b@c-d_e", duration_seconds=3600))),
        ("caller-identity-sts", "no parameters, no body, a token", StsClient, STS_KEY,
            lambda it: it.get_caller_identity()),
        ("assume-role-policy", "a JSON document as one parameter", StsClient, KEY, lambda it: it.assume_role(
            sts.AssumeRoleRequest(role_arn="acs:ram::1000000000000001:role/baker", role_session_name="night.1@host-2",
                duration_seconds=900, policy=json.dumps(policy, ensure_ascii=False), external_id="a=b,c.d@e:f/g-h"))),
    ]


def encode(text):
    return quote(text, safe="-_.~")


def canonical(method, path, query, headers, body):
    names = sorted(name for name in headers if name not in UNSIGNED)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    query = "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)
    return "\n".join([method, path, query, lines, ";".join(names), hashlib.sha256(body.encode()).hexdigest()])


def case(name, note, key, request):
    key_id, secret, token = key
    method, target, on_wire, body = request
    path, _, query = target.partition("?")
    headers = {name.lower(): value for name, value in on_wire}
    text = canonical(method, path, query, headers, body)
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(text.encode()).hexdigest()
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    if not headers["authorization"].endswith(f"Signature={signature}"):
        sys.exit(f"{name}: the SDK's signature does not follow from the rules\n{text}")
    return {
        "name": name, "note": note, "action": headers["x-acs-action"], "version": headers["x-acs-version"],
        "access_key_id": key_id, "access_key_secret": secret, "security_token": token, "method": method, "path": path,
        "query_string": query, "headers_on_wire": on_wire, "headers": headers, "body": body or None,
        "authorization": headers["authorization"], "canonical_request": text, "string_to_sign": to_sign,
    }


def main():
    server = HTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cases = []
    for name, note, client, key, send in calls():
        key_id, secret, token = key
        it = client(utils_models.Config(
            access_key_id=key_id, access_key_secret=secret, security_token=token, protocol="http", region_id="cn-shanghai",
            endpoint=f"127.0.0.1:{server.server_port}"))
        send(it)
        cases.append(case(name, note, key, Recorder.taken))
    packages = ["appstream_center20210901", "tea_openapi", "ecd20200930", "sts20150401", "credentials"]
    packages = [f"alibabacloud_{name}" for name in packages] + ["darabonba_core"]
    note = "Requests the official Python SDK sent to a loopback server, as tests/sdk/capture.py recorded them. All keys, " \
        "tokens and ids are made up."
    document = {"sdk": {name: version(name) for name in packages}, "note": note, "cases": cases}
    print(json.dumps(document, ensure_ascii=False, indent=1))


main()
