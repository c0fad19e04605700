use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::mpsc;

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);

/// A printer whose thread takes one thing for each permit, and what it was given.
fn held() -> (Printer<u64>, mpsc::Sender<()>, mpsc::Receiver<Heard<u64>>) {
    let (permit, permits) = mpsc::channel::<()>();
    let (given, heard) = mpsc::channel();
    let printer = Printer::start("held", move |thing| {
        let _done = permits.recv();
        let _gone = given.send(thing);
    });
    (printer.unwrap(), permit, heard)
}

#[test]
fn whoever_says_too_much_never_waits_and_the_count_stands_where_it_was_dropped() {
    let (printer, permit, heard) = held();
    let all = 10 * WAITING_MAX as u64;
    for number in 0..all {
        printer.say(number, 10, 1);
    }
    assert!(!printer.flush(Duration::ZERO));
    drop(permit);
    let (mut next, mut missed) = (0, 0);
    while next + missed < all {
        match heard.recv_timeout(PATIENCE).unwrap() {
            Heard::Said(number) => {
                assert_eq!(number, next + missed, "in order, and nothing is dropped unseen");
                next += 1;
            }
            Heard::Missed(count) => missed += count,
        }
    }
    assert!(missed > 0 && next <= WAITING_MAX as u64 + 1);
    printer.say(all, 10, 1);
    assert!(matches!(heard.recv_timeout(PATIENCE).unwrap(), Heard::Said(number) if number == all));
    assert!(printer.flush(PATIENCE));
}

#[test]
fn what_waits_is_bounded_in_bytes_and_one_large_thing_is_told() {
    let (printer, permit, heard) = held();
    // The first is taken by the thread at once, which then waits for its permit.
    printer.say(0, 1, 1);
    while !printer.0.lock().is_writing {
        thread::yield_now();
    }
    printer.say(1, 3 * BYTES_MAX, 9);
    printer.say(2, 1, 9);
    printer.say(3, 1, 4);
    drop(permit);
    let told: Vec<_> = (0..3).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(matches!(
        told[..],
        [Heard::Said(0), Heard::Said(1), Heard::Missed(13)]
    ));
}

fn missed(lines: u64) -> String {
    format!("({lines} not shown)\n")
}

fn sink(file: File) -> Sink {
    Sink {
        file: Some(file),
        lost: 0,
        is_torn: false,
    }
}

#[test]
fn a_full_disk_loses_lines_and_they_are_counted_once_there_is_room() {
    let mut sink = sink(File::options().write(true).open("/dev/full").unwrap());
    sink.write("one\n", missed);
    sink.write("two\nthree\n", missed);
    assert_eq!(sink.lost, 3);
    let mut file = tempfile::tempfile().unwrap();
    sink.file = Some(file.try_clone().unwrap());
    sink.write("four\n", missed);
    sink.write("five\n", missed);
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "(3 not shown)\nfour\nfive\n");
}

#[test]
fn a_reader_that_is_gone_is_forgotten() {
    let (reader, writer) = io::pipe().unwrap();
    let mut sink = sink(File::from(std::os::fd::OwnedFd::from(writer)));
    drop(reader);
    sink.write("one\n", missed);
    assert!(sink.file.is_none());
    sink.write("two\n", missed);
    assert_eq!(sink.lost, 0);
}

#[test]
fn a_stream_that_does_not_block_is_waited_for() {
    let (mut reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let mut sink = sink(File::from(std::os::fd::OwnedFd::from(writer)));
    let text = "a line that fills the pipe\n".repeat(1 << 14);
    let read = thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).map(|_bytes| all)
    });
    sink.write(&text, missed);
    drop(sink);
    assert_eq!(read.join().unwrap().unwrap(), text);
}
