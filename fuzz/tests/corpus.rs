//! The committed corpus through the targets: what was found once stays mended.

use lapwing_fuzz::{corpus, measure, parse};

#[test]
fn corpus_of_parse_holds() {
    for input in corpus("parse").expect("the corpus is there") {
        println!("{}", input.path.display());
        parse::check(&input.bytes);
    }
}

#[test]
fn corpus_of_measure_holds() {
    for input in corpus("measure").expect("the corpus is there") {
        println!("{}", input.path.display());
        measure::check(&input.bytes);
    }
}
