//! Inputs of any size whose work grows faster than their length in a careless parser: many problems on one line, many of
//! one key, deep nesting, long words, many rules. `corpus` has small ones; `tests/hostile_input.rs` runs long ones.

#![allow(dead_code, reason = "the fuzz targets do not use it")]

/// Inputs of the target `name`, each of about `size` bytes.
pub fn of(name: &str, size: usize) -> Vec<Vec<u8>> {
    let table = match name {
        "config" => CONFIG,
        "cron" => CRON,
        "crontab" => CRONTAB,
        "control_message" => CONTROL_MESSAGE,
        "cloud_answer" => CLOUD_ANSWER,
        "import_document" => IMPORT_DOCUMENT,
        _ => TEMPLATE,
    };
    table.iter().map(|(head, unit, tail)| filled(head, unit, tail, size)).collect()
}

/// `head`, then `unit` as often as there is room, then `tail`. In the unit `~N` is its number, so that each is another one.
pub fn filled(head: &str, unit: &str, tail: &str, size: usize) -> Vec<u8> {
    let mut text = head.to_owned();
    for number in 0.. {
        let next = unit.replace("~N", &number.to_string());
        if text.len() + next.len() + tail.len() > size {
            break;
        }
        text.push_str(&next);
    }
    text.push_str(tail);
    text.into_bytes()
}

/// Head, unit, tail.
type Filling = (&'static str, &'static str, &'static str);

const ONE: &str = "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '@daily'\n";

const CONFIG: &[Filling] = &[
    ("", "\n", ""),
    ("", "\t", ""),
    ("a = 1", "\r", ""),
    ("a = \"\"\"", "\n", ""),
    ("", "=", ""),
    ("a", "=a", ""),
    ("a = '", "\\", ""),
    ("a = ", "[", ""),
    ("a = ", "{a = ", ""),
    ("", "a.", "a = 1"),
    ("", "[[schedule]]\n", ""),
    ("", "[x~N]\na = 1979-05-27T07:32:00Z\n", ""),
    ("", "[schedule.a~N]\n", ""),
    ("[daemon]\n", "watch = true\n", ""),
    ("[daemon]\n", "a~N = 1\n", ""),
    ("[daemon]\na = {", "a = 1,", "a = 1}"),
    (ONE, "crn~N = 1\n", ""),
    (ONE, "password~N = 'x'\n", ""),
    (ONE, "\"k~N\\u202e\" = 1\n", ""),
    ("[[schedule]]\nkeep = {", "last = ~N,", "last = 1}\n"),
    ("[[schedule]]\nkeep = {", "daly~N = 1,", "last = 1}\n"),
    ("[[schedule]]\ntags = {", "k~N = 'LTAI5tExample~N',", "k = 'v'}\n"),
    ("", "[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '@daily'\n", ""),
    ("", "[[schedule]]\nname = 's~N'\ninstance_id = 'ecd-1'\ncron = '* * * * *'\n", ""),
    ("", "[[schedule]]\nnme = 's~N'\ninstanceid = 'e'\ncorn = '0 2 31 * 1#5'\njiter = '9h'\n", ""),
    ("", "[[schedule]]\ntimezone = 'Europ/Berlin~N'\n", ""),
    ("", "[[schedule]]\ninstance_region = 'cn-shangha~N'\n", ""),
    ("[profile.golden-image]\n", "[[schedule]]\nprofile = 'goldenimag~N'\n", ""),
    ("", "[profile.golden~N]\n", "[[schedule]]\nprofile = 'golde'\n"),
    ("", "[profile.p~N]\ncron = '* * 30 2 *'\n", ""),
    ("[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = [", "'H H * * *',", "]\n"),
    ("[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '", "0,", "0 3 * * *'\n"),
    ("[[schedule]]\nname = 'a'\ninstance_id = 'ecd-1'\ncron = '", "0 ", "'\n"),
    ("[[schedule]]\nname = 'a'\ncron = '@daily'\ninstance_ids = [", "'ecd-~N',", "]\n"),
    ("[[schedule]]\nname = 'a'\ncron = '@daily'\ninstance_ids = [", "'ecd-1',", "]\n"),
    ("[[schedule]]\nname = 'a'\ncron = '@daily'\ninstance_ids = [", "1,", "]\n"),
    ("[[schedule]]\nregions = [", "'cn-shangha~N',", "]\n"),
    ("[[schedule]]\nimage_name = '", "{slot:%Y}", "'\n"),
    ("[[schedule]]\nimage_name = '", "{", "'\n"),
    ("[[schedule]]\ndescription = '", "LTAI ", "'\n"),
    ("[[schedule]]\ndescription = \"", "\\u001b", "\"\n"),
    ("[[schedule]]\nchannels = {", "p~N = {after = '1d'},", "q = {}}\n"),
    ("[[schedule]]\nhooks = {before = [", "'/x~N',", "'y']}\n"),
    ("[defaults]\ndeadline = '", "1h ", "x'\n"),
    ("[daemon]\npage_hosts = [", "'a~N.example',", "]\n"),
    ("[cloud.ecd_endpoints]\n", "cn-shangha~N = 'https://a'\n", ""),
];

const CRON: &[Filling] = &[
    ("", "0 ", ""),
    ("", "0,", "0 3 * * *"),
    ("", "*/2,", "0 3 * * *"),
    ("", "h(0-29)/2,", "0 3 * * *"),
    ("0 3 ", "31W,L-3,", "1 * mon#5"),
    ("0 3 1 ", "jan-dec/11,", "1 *"),
    ("@every ", "1h ", ""),
    ("CRON_TZ=", "a", " 0 3 * * *"),
    ("*-*-* ", "03:00:00,", ""),
    ("cron(", "0 ", ")"),
    ("0 3 * * * ", "#", ""),
    ("0 3 * * ", "monday,", "x"),
];

const CRONTAB: &[Filling] = &[
    ("", "\n", ""),
    ("", "0 3 * * * aliyun appstream-center CreateImageByInstance --InstanceId ecd-1\n", ""),
    ("", "0 3 * * * x --InstanceId ecd-~N --NoSuchOption~N v\n", ""),
    ("0 3 * * * aliyun CreateImageByInstance", " --InstanceId ecd-1", "\n"),
    ("0 3 * * * aliyun CreateImageByInstance --Tag.1.Key '", "%", "'\n"),
    ("0 3 * * * CreateImageByInstance ", "$(", "\n"),
    ("0 3 * * * CreateImageByInstance ", "\\\"", "\n"),
    ("0 3 * * * CreateImageByInstance ", "a;", "\n"),
    ("", "CRON_TZ=Europ/Berlin~N\n0 3 * * * CreateImageByInstance --InstanceId ecd-1\n", ""),
    ("", "A~N='", ""),
    ("", "\u{1b}", ""),
];

const CONTROL_MESSAGE: &[Filling] = &[
    ("", "[", ""),
    ("", "{\"a\":", ""),
    ("{\"protocol\":1,\"version\":\"", "\\u001b", "\",\"body\":{\"ask\":\"status\"}}"),
    ("{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"", "x", "\"}}"),
    ("{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"status\"", ",\"k~N\\u202e\":1", "}}"),
    ("{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"status\"", ",\"ask\":\"status\"", "}}"),
    ("{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"follow\",\"seen\":0,\"bakes\":[", "~N,", "1]}}"),
    (
        "{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"adopt\",\"schedule\":\"a\",\"instance\":null,\"dry_run\":true,\"wanted\":{\"images\":[",
        "\"imgc-~N\",",
        "\"x\"]}}}",
    ),
    (
        "{\"protocol\":1,\"version\":\"x\",\"body\":{\"ask\":\"bake\",\"all\":false,\"instances\":[],\"schedules\":[",
        "\"s~N\",",
        "\"x\"]}}",
    ),
];

const CLOUD_ANSWER: &[Filling] = &[
    ("\0", "[", ""),
    ("\0", "{\"Data\":", ""),
    (
        "\0{\"RequestId\":\"r\",\"Code\":\"200\",\"Data\":[",
        "{\"ImageId\":\"imgc-~N\",\"Status\":\"AVAILABLE\"},",
        "{}]}",
    ),
    (
        "\0{\"RequestId\":\"r\",\"Data\":[{\"ImageId\":\"i\",\"ResourceTags\":[",
        "{\"Key\":\"k~N\",\"Value\":\"\\u001b\"},",
        "{}]}]}",
    ),
    ("\0{\"RequestId\":\"r\",\"Desktops\":[", "{\"DesktopId\":\"ecd-~N\",\"DesktopStatus\":\"\\u202e\"},", "{}]}"),
    ("\0{\"RequestId\":\"", "\\u001b", "\"}"),
    ("\0{\"RequestId\":\"r\"", ",\"Data\":{\"ImageId\":\"i\"}", "}"),
    ("\0{\"RequestId\":\"r\"", ",\"k~N\\u0007\":null", "}"),
    ("\u{1}{\"RequestId\":\"r\",\"Code\":\"X\",\"Message\":\"", "LTAI ", "\"}"),
    ("\u{5}", "<html>", ""),
    ("\u{4}", " ", ""),
];

const IMPORT_DOCUMENT: &[Filling] = &[
    ("", "[", ""),
    ("{\"imagebaked_ledger\":", "{\"a\":", ""),
    (
        "{\"imagebaked_ledger\":{\"format\":1,\"migration\":1,\"rows\":{\"lines\":1}},\"tables\":{\"lines\":[",
        "{\"line_id\":\"l~N\",\"last_version\":7},",
        "{\"line_id\":\"l\",\"last_version\":7}]}}",
    ),
    (
        "{\"imagebaked_ledger\":{\"format\":1,\"migration\":1,\"rows\":{\"lines\":1}},\"tables\":{\"lines\":[",
        "{\"line_id\":\"l\",\"last_version\":7},",
        "{\"line_id\":\"l\",\"last_version\":7}]}}",
    ),
    (
        "{\"imagebaked_ledger\":{\"format\":1,\"migration\":1,\"rows\":{\"lines\":1}},\"tables\":{\"lines\":[{\"line_id\":\"",
        "\\u001b",
        "\",\"last_version\":7}]}}",
    ),
    (
        "{\"imagebaked_ledger\":{\"format\":1,\"migration\":1,\"rows\":{\"lines\":1}},\"tables\":{\"lines\":[{\"line_id\":\"l\"",
        ",\"k~N\":7",
        "}]}}",
    ),
    ("{\"imagebaked_ledger\":{\"format\":1,\"migration\":1,\"rows\":{}},\"tables\":{", "\"t~N\":[],", "\"lines\":[]}}"),
];

const TEMPLATE: &[Filling] = &[
    ("", "{", ""),
    ("", "}", ""),
    ("", "{{", ""),
    ("", "{slot:%Y}", ""),
    ("{slot:", "%Y%c", "}"),
    ("{slot:", "%", "}"),
    ("", "{version}", ""),
    ("", "{versio~N}", ""),
    ("{", "x", "}"),
];
