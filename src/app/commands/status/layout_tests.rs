use super::*;

fn block(items: usize, things: &'static str) -> Block {
    let item = |n: usize| Item { parts: vec![Part::Line(format!("{things} {n}"))], count: 1 };
    Block {
        heading: vec![Part::Line(things.to_uppercase())],
        items: (0..items).map(item).collect(),
        rest: ["one", things, "all"],
        has_gap: true,
        ..Block::default()
    }
}

fn drawn(blocks: &[Block], goals: &[Goal], lines: usize) -> String {
    fit(blocks, goals, Size { lines, width: 40 })
}

#[test]
fn goals_are_met_in_their_order_as_long_as_there_is_room() {
    let blocks = [block(3, "cats"), block(4, "dogs")];
    let goals = [Goal::Items(1, 2), Goal::Items(0, 9), Goal::Items(1, 9), Goal::Gaps];
    assert_eq!(drawn(&blocks, &goals, 2), "… 3 cats: all\n… 4 dogs: all\n");
    assert_eq!(drawn(&blocks, &goals, 5), "… 3 cats: all\nDOGS\ndogs 0\ndogs 1\n… and 2 more dogs: all\n");
    assert_eq!(
        drawn(&blocks, &goals, 8),
        "CATS\ncats 0\ncats 1\ncats 2\nDOGS\ndogs 0\ndogs 1\n… and 2 more dogs: all\n"
    );
    let all = drawn(&blocks, &goals, 9);
    assert!(
        all.ends_with("dogs 2\ndogs 3\n") && !all.contains("\n\n"),
        "the last one takes the line of the rest: {all}"
    );
    assert!(drawn(&blocks, &goals, 10).contains("cats 2\n\nDOGS"));
}

#[test]
fn what_is_in_no_item_is_named() {
    let blocks = [Block { beyond: 280, ..block(2, "rows") }, Block::default()];
    assert_eq!(drawn(&blocks, &[Goal::Items(0, 9)], 9), "ROWS\nrows 0\nrows 1\n… and 280 more rows: all\n");
    assert_eq!(drawn(&blocks, &[Goal::Items(0, 9)], 1), "… 282 rows: all\n");
}

#[test]
fn a_heading_can_name_what_is_left_out() {
    let blocks = [Block { is_counted_above: true, ..block(3, "bakes") }];
    assert_eq!(drawn(&blocks, &[Goal::Items(0, 9)], 3), "BAKES … and 1 more one: all\nbakes 0\nbakes 1\n");
    assert_eq!(drawn(&blocks, &[Goal::Items(0, 9)], 4), "BAKES\nbakes 0\nbakes 1\nbakes 2\n");
}

#[test]
fn a_line_that_the_terminal_breaks_counts_as_several() {
    let wide = Item { parts: vec![Part::Line("w".repeat(90))], count: 2 };
    let blocks = [Block { items: vec![wide], ..block(0, "wide") }];
    assert_eq!(drawn(&blocks, &[Goal::Items(0, 9)], 3), "… 2 wide: all\n");
    assert!(drawn(&blocks, &[Goal::Items(0, 9)], 4).contains("www"));
}
