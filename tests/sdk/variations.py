"""Calls beside the usual path: values of other types and at the edges, filters that find nothing, what is left out.

`conformance.py` runs them. Each row is a call with what it must find or the code that must refuse it.
"""

import time

from alibabacloud_appstream_center20210901 import models as app
from alibabacloud_appstream_center20210901.client import Client as AppClient
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient

HOME = "cn-shanghai"


class Variations:
    """The helpers of the caller, and an image to look for."""

    def __init__(self, endpoint, client, desktops, helpers):
        self.endpoint, self.client, self.desktops = endpoint, client, desktops
        self.config, self.expect, self.refusal, self.control, self.until = helpers
        self.image_id = None

    def run(self):
        self.control(self.endpoint, "instances", {"instance_id": "ecd-vary", "instance_type": "CloudDesktop"})
        self.control(self.endpoint, "instances", {"instance_id": "ws-vary", "instance_type": "WuyingServer"})
        self.name = f"Vary one {time.time_ns()}"
        self.image_id = self.create(tag_list=self.new_tags(("vary", "v"), ("team", "ops"))).body.data.image_id
        look = lambda: self.listing(image_id=self.image_id).data[0].status
        self.until("vary: an image", "AVAILABLE", look)
        self.filters()
        self.pages()
        self.creating()
        self.images()
        self.workstations()
        self.desktop_calls()
        self.tags()
        self.roles()
        self.signatures()

    def refused(self, rows, call):
        for what, code, fields in rows:
            self.refusal(f"vary: {what}", code, lambda: call(**fields))

    def create(self, **fields):
        plain = {"instance_id": "ecd-vary", "instance_type": "CloudDesktop", "image_name": self.name}
        return self.client.create_image_by_instance(app.CreateImageByInstanceRequest(**plain | fields))

    def listing(self, **fields):
        return self.client.list_image(app.ListImageRequest(**fields)).body

    @staticmethod
    def new_tags(*pairs):
        return [app.CreateImageByInstanceRequestTagList(key=key, value=value) for key, value in pairs]

    @staticmethod
    def asked_tags(*pairs):
        return [app.ListImageRequestTagList(key=key, value=value) for key, value in pairs]

    def filters(self):
        name, tags = self.name, self.asked_tags
        for what, count, fields in (
            ("a part of the name", 1, {"image_name": name[2:]}),
            ("the name in capitals", 0, {"image_name": name.upper()}),
            ("a star in the name", 0, {"image_name": name[:6] + "*"}),
            ("a sign of SQL in the name", 0, {"image_name": name.replace("V", "_")}),
            ("a name that is only such a sign", 0, {"image_name": "%"}),
            ("blanks around the name", 0, {"image_name": f" {name} "}),
            ("a part of the id", 0, {"image_id": self.image_id[:8]}),
            ("the id and another name", 0, {"image_id": self.image_id, "image_name": "other"}),
            ("both tags", 1, {"tag_list": tags(("vary", "v"), ("team", "ops"))}),
            ("one tag of two", 0, {"tag_list": tags(("vary", "v"), ("team", "dev"))}),
            ("a tag's value in capitals", 0, {"tag_list": tags(("vary", "V"))}),
            ("a tag's key in capitals", 0, {"tag_list": tags(("VARY", "v"))}),
            ("images of the system", 0, {"image_name": name, "image_type": "System"}),
            ("another system", 0, {"image_name": name, "os_type": "Linux"}),
            ("another product", 0, {"image_name": name, "product_type": "WuyingServer"}),
            ("a product and a list without it", 0,
                {"image_name": name, "product_type": "CloudApp", "product_type_list": ["CloudDesktop"]}),
            ("another kind of business", 0, {"image_name": name, "biz_type": 2}),
            ("its region", 1, {"image_name": name, "biz_region_id_list": [HOME]}),
            ("another region", 0, {"image_name": name, "biz_region_id_list": ["cn-beijing"]}),
        ):
            self.expect(f"vary: {what}", self.listing(**fields).count, count)
        self.refused((
            ("a key without a value", "InvalidTagList", {"tag_list": tags(("vary", None))}),
            ("a key with an empty value", "InvalidTagList", {"tag_list": tags(("vary", ""))}),
            ("a tag twice", "InvalidTagList", {"tag_list": tags(("vary", "v"), ("vary", "v"))}),
            ("deleted images", "InvalidStatus", {"status": "DELETE"}),
            ("a type in small letters", "InvalidImageType", {"image_type": "user"}),
            ("a package", "UnsupportedParameter", {"package_type": "Ecs"}),
            ("a protocol", "UnsupportedParameter", {"protocol_type": "ASP"}),
            ("a distribution of Linux, in the query", "UnsupportedParameter", {"distro": "Ubuntu"}),
            ("features", "UnsupportedParameter", {"feature_list": ["GPU"]}),
        ), self.listing)

    def pages(self):
        for size in ("abc", 1.5, True, "+5", " 5", "5 ", "0x5", 2**31):
            self.refusal(f"vary: PageSize {size!r}", "InvalidPageSize", lambda: self.listing(page_size=size))
        for number in ("", "05"):
            self.expect(f"vary: PageNumber {number!r}", self.listing(page_size=1, page_number=number).success, True)
        for number in (2**31, 2**63, "1e3"):
            self.refusal(f"vary: PageNumber {number!r}", "InvalidPageNumber", lambda: self.listing(page_number=number))

    def creating(self):
        self.refused((
            ("a workstation as a desktop", "DesktopInstance.NotFound", {"instance_id": "ws-vary"}),
            ("a desktop as a workstation", "Instance.NotFound", {"instance_type": "WuyingServer"}),
            ("a blank for an instance", "DesktopInstance.NotFound", {"instance_id": " "}),
            ("yes for a boolean", "InvalidAutoCleanUserdata", {"auto_clean_userdata": "yes"}),
            ("1 for a boolean", "InvalidAutoCleanUserdata", {"auto_clean_userdata": 1}),
            ("maybe for a boolean", "InvalidCopyProfile", {"copy_profile": "maybe"}),
            ("disks in small letters", "InvalidDiskType", {"disk_type": "all"}),
            ("a word for a number", "InvalidBizType", {"biz_type": "x"}),
            ("a line end in a name", "InvalidImageName", {"image_name": "ab\ncd"}),
            ("an emoji first", "InvalidImageName", {"image_name": "😀 image"}),
            ("a tag of 129 Chinese characters", "InvalidTagList", {"tag_list": self.new_tags(("键" * 129, "v"))}),
        ), self.create)

    def images(self):
        delete = lambda image_id: self.client.delete_image(app.DeleteImageRequest(image_id=image_id))
        for what, code, image_id in (
            ("nothing", "MissingImageId", None),
            ("an empty id", "MissingImageId", ""),
            ("two ids in one", "Image.NotExist", f"{self.image_id},{self.image_id}"),
            ("an id in capitals", "Image.NotExist", self.image_id.upper()),
            ("an id after a blank", "Image.NotExist", f" {self.image_id}"),
        ):
            self.refusal(f"vary: delete {what}", code, lambda: delete(image_id))
        distribute = lambda **fields: self.client.start_task_for_distribute_image(
            app.StartTaskForDistributeImageRequest(
                **{"image_id": self.image_id, "destination_region_list": ["cn-hangzhou"]} | fields
            )
        )
        self.refused((
            ("101 regions", "InvalidDestinationRegionList", {"destination_region_list": ["cn-hangzhou"] * 101}),
            ("another way to repeat", "InvalidRetryType", {"retry_type": "AGAIN"}),
            ("from where it is not", "ImageDistribute.Undistributed", {"source_region": "cn-qingdao"}),
        ), distribute)
        self.expect("vary: from where it is", distribute(source_region=HOME).body.success, True)
        self.refusal("vary: while it is copied", "ImageDistribute.RepeatedDistribution", distribute)

    def workstations(self):
        describe = lambda **fields: self.client.describe_wuying_server(app.DescribeWuyingServerRequest(**fields))
        self.refused((
            ("a desktop among workstations", "Instance.NotFound", {"wuying_server_id": "ecd-vary"}),
            ("no workstation", "MissingWuyingServerId", {}),
        ), describe)
        stop = lambda **fields: self.client.stop_wuying_server(
            app.StopWuyingServerRequest(**{"wuying_server_id_list": ["ws-vary"]} | fields)
        )
        self.refused((
            ("a force of perhaps", "InvalidForce", {"force": "perhaps"}),
            ("to stop a desktop as a workstation", "Instance.NotFound", {"wuying_server_id_list": ["ecd-vary"]}),
        ), stop)
        self.expect("vary: a workstation stops", stop(product_type="WuyingServer").status_code, 200)
        restart = app.RestartWuyingServerRequest(wuying_server_id_list=["ws-vary"])
        again = lambda: self.client.restart_wuying_server(restart)
        self.refusal("vary: a restart while it stops", "IncorrectInstanceStatus", again)

    def desktop_calls(self):
        it = self.desktops
        self.refused((
            ("eleven states", "InvalidDesktopStatusList", {"desktop_status_list": ["Running"] * 11}),
            ("a boolean of x", "InvalidFilterDesktopGroup", {"filter_desktop_group": "x"}),
            ("a half for MaxResults", "InvalidMaxResults", {"max_results": 1.5}),
            ("an empty region", "MissingRegionId", {"region_id": ""}),
            ("a blank after the region", "InvalidRegionId", {"region_id": f"{HOME} "}),
            ("a page number", "UnsupportedParameter", {"page_number": 1}),
            ("a flag", "UnsupportedParameter", {"management_flag": "NoFlag"}),
        ), lambda **fields: it.describe_desktops(ecd.DescribeDesktopsRequest(**{"region_id": HOME} | fields)))
        self.refused((
            ("101 desktops", "InvalidDesktopId", {"desktop_id": [f"ecd-{number}" for number in range(101)]}),
            ("no desktop", "MissingDesktopId", {}),
            ("a workstation", "InvalidDesktopId.NotFound", {"desktop_id": ["ws-vary"]}),
            ("an update of perhaps", "InvalidOsUpdate", {"desktop_id": ["ecd-vary"], "os_update": "perhaps"}),
            ("no region", "MissingRegionId", {"desktop_id": ["ecd-vary"], "region_id": None}),
        ), lambda **fields: it.stop_desktops(ecd.StopDesktopsRequest(**{"region_id": HOME} | fields)))
        for what, code, call in (
            ("images of a type of the other service", "InvalidImageType",
                lambda: it.describe_images(ecd.DescribeImagesRequest(region_id=HOME, image_type="User"))),
            ("bundles in small letters", "InvalidBundleType",
                lambda: it.describe_bundles(ecd.DescribeBundlesRequest(region_id=HOME, bundle_type="custom"))),
            ("templates of another product", "InvalidProductType",
                lambda: it.describe_templates(ecd.DescribeTemplatesRequest(product_type="CloudApp"))),
            ("delivery groups of no product", "MissingProductType",
                lambda: self.client.list_app_instance_group(app.ListAppInstanceGroupRequest())),
        ):
            self.refusal(f"vary: {what}", code, call)

    def tags(self):
        untag = lambda **fields: self.client.untag_cloud_resources(
            app.UntagCloudResourcesRequest(
                **{"resource_type": "CenterImageId", "resource_ids": [self.image_id], "tag_keys": ["none"]} | fields
            )
        )
        self.refused((
            ("no keys", "MissingTagKeys", {"tag_keys": None}),
            ("eleven keys", "InvalidTagKeys", {"tag_keys": [f"k{number}" for number in range(11)]}),
            ("an empty key", "InvalidTagKeys", {"tag_keys": [""]}),
            ("a kind in small letters", "InvalidResourceType", {"resource_type": "centerimageid"}),
        ), untag)
        self.expect("vary: a key that is not there", untag().body.failed_resources, [])
        self.expect("vary: the tags are still there", len(self.listing(image_id=self.image_id).data[0].tag_list), 2)

    def roles(self):
        arn = "acs:ram::1000000000000001:role/"
        client = StsClient(self.config(self.endpoint))
        self.refused((
            ("an external id of one letter", "InvalidParameter.ExternalId", {"external_id": "x"}),
            ("a blank in the external id", "InvalidParameter.ExternalId", {"external_id": "a b"}),
            ("a source identity of one letter", "InvalidParameter.SourceIdentity", {"source_identity": "x"}),
            ("a word of seconds", "InvalidParameter.DurationSeconds", {"duration_seconds": "abc"}),
            ("more than twelve hours", "InvalidParameter.DurationSeconds", {"duration_seconds": 43201}),
            ("a policy of 2,049 characters", "InvalidParameter.PolicyGrammar", {"policy": '{"a":"' + "x" * 2041 + '"}'}),
            ("a list for a policy", "InvalidParameter.PolicyGrammar", {"policy": "[]"}),
            ("a number for a policy", "InvalidParameter.PolicyGrammar", {"policy": "1"}),
            ("a session of 65 letters", "InvalidParameter.RoleSessionName", {"role_session_name": "x" * 65}),
            ("a role without a name", "InvalidParameter.RoleArn", {"role_arn": arn}),
            ("a role with a path", "InvalidParameter.RoleArn", {"role_arn": arn + "a/b"}),
            ("a role in capitals", "InvalidParameter.RoleArn", {"role_arn": (arn + "baker").upper()}),
        ), lambda **fields: client.assume_role(
            sts.AssumeRoleRequest(**{"role_arn": arn + "baker", "role_session_name": "night"} | fields)
        ))

    def signatures(self):
        def listing(**changes):
            config = self.config(self.endpoint)
            for name, value in changes.items():
                setattr(config, name, value)
            return AppClient(config).list_image(app.ListImageRequest(page_size=1))

        self.refused((
            ("a signature of the first version", "InvalidSignatureMethod", {"signature_algorithm": "v2"}),
            ("a signature by SM3", "IncompleteSignature", {"signature_algorithm": "ACS3-HMAC-SM3"}),
            ("a blank after the key id", "InvalidAccessKeyId.NotFound", {"access_key_id": "sim-key-id "}),
            ("a token beside a key without one", "InvalidSecurityToken.Expired", {"security_token": "x"}),
        ), listing)
