//! wip
fn main() {
    let mut a = std::env::args().skip(1);
    if let Some(first) = a.next() {
        let mut v = vec![first];
        v.extend(a);
        let files: Vec<_> = v.iter().map(|n| (n.clone(), std::fs::read_to_string(n).unwrap_or_default())).collect();
        let r = certbound::desk::check::check(&files);
        print!("{r}");
        std::process::exit(i32::from(r.exit_code(false)))
    }
    print!("{}", certbound::desk::schema::schema());
}
