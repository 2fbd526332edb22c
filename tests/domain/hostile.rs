//! P12: what an attacker or an accident types is answered by an error, in its time, and the next question is answered as ever.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_domains_are_refused_in_time() {
    let host = Host::open(Profile::Odoo18_0, &Options::default()).await;
    let nested =
        |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    let any = |times: usize| {
        let mut text = "[('id','=',1)]".to_owned();
        for _ in 0..times {
            text = format!("[('parent_id','any',{text})]");
        }
        text
    };
    let hostile: Vec<String> = vec![
        // SQL in each position.
        "[('id\" = 1; drop table res_partner; --','=',1)]".into(),
        "[('name) or 1=1 --','=',1)]".into(),
        "[('name','= 1 or 1','x')]".into(),
        "[('name','=; drop table res_partner','x')]".into(),
        "[('parent_id.name\" --','=','x')]".into(),
        "[('id','in',['1); drop table res_partner; --'])]".into(),
        "[('id','child_of',['1',2])]".into(),
        "[('create_date','=','2026-01-01'';--')]; drop".into(),
        // The sandbox's walls.
        "__import__('os').system('id')".into(),
        "().__class__.__bases__[0].__subclasses__()".into(),
        "[('id','=',(lambda: 0).__globals__)]".into(),
        "[('id','=',getattr(1, 'x'))]".into(),
        "[('id','=',open('/etc/passwd').read())]".into(),
        "[('id','=',eval('1'))]".into(),
        "[('id','=',exec('1'))]".into(),
        "import os".into(),
        "env.cr.execute('select 1')".into(),
        "[('id','=',user.env.cr)]".into(),
        "[('id','=',datetime.sys.modules)]".into(),
        "[('id','=','{0.__class__}'.format(user))]".into(),
        "[('id','=','{0.__class__.__mro__}'.format(1))]".into(),
        "[('id','=','%(__class__)s' % user)]".into(),
        "[('id','=',f'{user.__class__}')]".into(),
        "[('id','=',datetime.now().__reduce__())]".into(),
        "[('id','=',(lambda __x: 1)(2))]".into(),
        "[('id','=',_sn_today)]".into(),
        "[('id','=',_sn_sub(1, 2))]".into(),
        "[('id','=',context_today.__code__)]".into(),
        "[('id','=',relativedelta.__init__)]".into(),
        "[('id','=',[c for c in ().__class__.__base__.__subclasses__()])]".into(),
        "[('id','=',(x.gi_frame for x in [1]))]".into(),
        "[('id','=',reduce.__globals__)]".into(),
        "(yield 1)".into(),
        "[('id','=',(await x))]".into(),
        "[('id','=',[x for x in ().mro()])]".into(),
        // Time and memory.
        "[x for x in iter(int, 1)]".into(),
        "[x for x in range(10**12)]".into(),
        "[('id','in',list(range(10**9)))]".into(),
        "[('id','in',[0] * 10**9)]".into(),
        "[('id','in',[[0] * 10000 for x in range(10**9)])]".into(),
        "'a' * 10**12".into(),
        "10 ** 10 ** 10".into(),
        "1 << 10**12".into(),
        "'x'.ljust(10**12)".into(),
        "f'{1:>100000000000}'".into(),
        "'%1000000000d' % 1".into(),
        "','.join(['x' * 1000] * 10**7)".into(),
        "'a' * 10**9".into(),
        "[0] * 10**9".into(),
        "9 ** 9 ** 9".into(),
        "str(9 ** 99999 ** 2)".into(),
        "sum(range(10**12))".into(),
        "sum([x for x in range(10**12)])".into(),
        "max(x for x in range(10**12))".into(),
        "10**11 in [x for x in range(10**12)]".into(),
        "[[[[[0] * 100] * 100] * 100] * 100] * 100".into(),
        "(((((0,) * 100,) * 100,) * 100,) * 100,) * 100".into(),
        "{1: [[[[0] * 100] * 100] * 100] * 100}".into(),
        "[('id','in',['x' * 10**5] * 10**4)]".into(),
        "[('id','in',[9 ** 9999] * 10**4)]".into(),
        "(a := [1]) and a.append(a) or a".into(),
        "[('id','in',[y for x in range(10**6) for y in range(10**6)])]".into(),
        "f'{1:>999999999}'".into(),
        "'{:>999999999}'.format(1)".into(),
        "'{:{}}'.format(1, 10**9)".into(),
        "'%*d' % (10**9, 1)".into(),
        "'%.1000000000f' % 1.5".into(),
        "'%s' * 10**9 % 1".into(),
        "'-'.join('x' * 10**5 for x in range(10**9))".into(),
        "datetime.now().strftime('%f' * 10**9)".into(),
        "reduce(lambda a, b: a + a, range(10**6), 'xxxxxxxx')".into(),
        "reduce(lambda a, b: a * a, range(100), 9 ** 99)".into(),
        "sorted(range(10**12))".into(),
        "list(zip(range(10**12), range(10**12)))".into(),
        "dict.fromkeys(range(10**12))".into(),
        "set(range(10**12))".into(),
        "tuple(map(lambda x: [x] * 10**6, range(10**6)))".into(),
        "timedelta(days=10**30)".into(),
        "date.today() + timedelta(days=1e300)".into(),
        "context_today() + relativedelta(days=10**30)".into(),
        "context_today() + relativedelta(months=10**30)".into(),
        "context_today() + relativedelta(weekday=dateutil.relativedelta.MO(10**30))".into(),
        "relativedelta(date.max, date.min) * 10**30 + date.today()".into(),
        "[relativedelta(date.max, date.min) for x in range(10**6)]".into(),
        "int('9' * 10**6) ** 10**6".into(),
        "(lambda f: f(f))(lambda f: f(f))".into(),
        "[('name','=','a'.replace('', 'b' * 10**6))]".into(),
        // Depth and size.
        nested("[", "]", 5000),
        nested("(", ")", 5000),
        nested("-", "", 9000),
        nested("not ", "", 3000),
        nested("lambda:", "", 2000),
        nested("1 if 1 else ", "", 1500),
        format!("['!'] * 3 + {}", nested("(", ")", 3000)),
        format!("1{}", "+1".repeat(4000)),
        format!("a{}", ".b".repeat(5000)),
        format!("[('{}','=',1)]", ["parent_id"; 40].join(".")),
        any(40),
        format!("[{}]", "('id','=',1),".repeat(5000)),
        format!("[{}]", "'!',".repeat(10000)),
        "['|'] * 10000 + [('id','=',1)]".into(),
        format!("[('name','=','{}')]", "x".repeat(100_000)),
        // Names that look like others.
        "[('nаme','=','x')]".into(),
        "[('nam\u{200b}e','=','x')]".into(),
        "[('NAME','=','x')]".into(),
        "[('name ','=','x')]".into(),
        "[('ｎａｍｅ','=','x')]".into(),
        "[('name\u{301}','=','x')]".into(),
        "[('\u{202e}name','=','x')]".into(),
        "[('parent_id.nаme','=','x')]".into(),
        "[('раrent_id','any',[])]".into(),
        "[('name\u{0}','=','x')]".into(),
        "[('name\n','=','x')]".into(),
        "[('name','ilikе','x')]".into(),
        "[(\"name' or '1'='1\",'=','x')]".into(),
        "[('expiry_date.month_number) or (1','=',1)]".into(),
        "[('create_date.month_number) or (1','=',1)]".into(),
        "[('name','\u{ff1d}','x')]".into(),
        "[('name','=','a\u{0}b')]".into(),
        "[(\u{2018}name\u{2019},'=',1)]".into(),
    ];
    for text in &hostile {
        let began = Instant::now();
        let answer = host.ask("res.partner", text, TABLE).await;
        let short: String = text.chars().take(80).collect();
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{short}: {:?}",
            began.elapsed()
        );
        match answer {
            Err(Fault::Domain(error)) => assert!(!error.diagnostic(text).is_empty()),
            other => panic!("{short}: {other:?}"),
        }
        let next = host.ask("res.partner", "[('id','=',10)]", TABLE).await;
        assert_eq!(next.unwrap(), [10], "after {short}");
    }
    // What is a text stays a text, wherever it stands.
    for value in [
        "'; drop table res_partner; --",
        "$1",
        "%(x)s",
        "\\'zz",
        "\" or 1=1 --",
        "𝕏🙂",
    ] {
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        for test in [
            format!("'=','{quoted}'"),
            format!("'ilike','{quoted}'"),
            format!("'in',['{quoted}']"),
        ] {
            for field in [
                "name",
                "parent_id",
                "parent_id.name",
                "category_id.name",
                "child_ids.name",
                "display_name",
            ] {
                let text = format!("[('{field}',{test})]");
                assert_eq!(
                    host.ask("res.partner", &text, TABLE).await.unwrap(),
                    Vec::<i64>::new(),
                    "{text}"
                );
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Text like Python comes to an end, in a domain or an error whose place can be shown.
    #[test]
    fn no_expression_panics_or_hangs(
        tokens in proptest::collection::vec(
            proptest::sample::select(vec![
                "[", "]", "(", ")", ",", "'id'", "'='", "'a%'", "1", "2.5", "-", "+", "*", "%", "**", " if ", " else ", " for x in ",
                "x", "lambda x:", "datetime", "date", "time", ".", "now()", "today()", "context_today()", "relativedelta(", "months=1",
                "timedelta(", "days=", "uid", "user", "context", ".get(", "f'{", "}'", "{", "}", ":", "==", "not ", "or ", "é", "\n",
                "#", "\\", "range(3)", "strftime('%Y')", "to_utc()", "__class__", ":=", "*x", "10**9", "'%s'",
            ]),
            0..30,
        )
    ) {
        let text = tokens.concat();
        let began = Instant::now();
        let vars = Vars::at(Utc.with_ymd_and_hms(2026, 12, 22, 18, 30, 0).unwrap(), chrono_tz::Asia::Jakarta);
        if let Err(error) = Source::parse(&text).and_then(|source| source.evaluate(&vars)) {
            let _ = error.diagnostic(&text);
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{text}");
    }
}
