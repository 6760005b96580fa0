BEGIN TRANSACTION;
CREATE TABLE events (
	sequence INTEGER NOT NULL, 
	event_id TEXT NOT NULL, 
	once TEXT, 
	study TEXT NOT NULL, 
	reader TEXT NOT NULL, 
	session TEXT, 
	case_id TEXT, 
	phase TEXT, 
	kind TEXT NOT NULL, 
	utc TEXT NOT NULL, 
	monotonic_ms BIGINT NOT NULL, 
	simulated BOOLEAN NOT NULL, 
	software TEXT NOT NULL, 
	model TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	PRIMARY KEY (sequence), 
	UNIQUE (event_id), 
	UNIQUE (once)
);
INSERT INTO "events" VALUES(1,'e332116c-4e83-4fe9-a7a0-a104a79c7228','["tiny-2df719a588ce", "slot", 1]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df',NULL,NULL,'enrolled','2026-11-25T02:56:07.822+00:00',2321554,0,'camreader 0.1.0','made-up-network 0123456789ab','{"slot": 1}');
INSERT INTO "events" VALUES(2,'2ca2df01-36e9-4b97-83fc-3b4644673af2',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','started','2026-11-25T02:56:07.852+00:00',2321585,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(3,'Ann l0','["tiny-2df719a588ce", "Ann", "C001", "locked"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','locked','2026-11-25T02:56:07.866+00:00',2321599,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 1, "diagnosis": "tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1500, "window": [50, 400]}');
INSERT INTO "events" VALUES(4,'7eb0554a-fa7c-4186-9414-891b649227e7',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','revealed','2026-11-25T02:56:07.876+00:00',2321609,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 1, "cnn_probability": 0.8722}');
INSERT INTO "events" VALUES(5,'6d2af139-8ded-47c5-b41a-c4edb1552d53',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','started','2026-11-25T02:56:07.884+00:00',2321616,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(6,'Ann r0','["tiny-2df719a588ce", "Ann", "C001", "revised"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','revised','2026-11-25T02:56:07.900+00:00',2321633,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "tumor", "helpfulness": "yes", "history": [[0, "window_centre", 50]], "milliseconds": 1500, "window": [50, 400]}');
INSERT INTO "events" VALUES(7,'99b90208-ae64-4893-a852-dc489209f89a',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C005','unaided','started','2026-11-25T02:56:07.908+00:00',2321640,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(8,'Ann l1','["tiny-2df719a588ce", "Ann", "C005", "locked"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C005','unaided','locked','2026-11-25T02:56:07.915+00:00',2321648,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 2, "diagnosis": "no tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1510, "window": [50, 400]}');
INSERT INTO "events" VALUES(9,'947568f8-f4ad-439a-8b41-563dba0a45d9',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C005','aided','revealed','2026-11-25T02:56:07.920+00:00',2321653,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 1, "cnn_probability": 0.8678}');
INSERT INTO "events" VALUES(10,'db855230-a514-4a60-9c02-be42ec4236b9',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C005','aided','started','2026-11-25T02:56:07.923+00:00',2321655,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(11,'Ann r1','["tiny-2df719a588ce", "Ann", "C005", "revised"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C005','aided','revised','2026-11-25T02:56:07.932+00:00',2321665,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "other", "helpfulness": "some", "history": [[0, "window_centre", 50]], "milliseconds": 1510, "window": [50, 400]}');
INSERT INTO "events" VALUES(12,'7af2ebe2-3b75-49e7-ab74-d43df8ae414d',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','unaided','started','2026-11-25T02:56:07.976+00:00',2321709,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(13,'Ann l2','["tiny-2df719a588ce", "Ann", "C002", "locked"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','unaided','locked','2026-11-25T02:56:08.008+00:00',2321741,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "seen, \u00e4h", "confidence": 3, "diagnosis": "other", "history": [[0, "window_centre", 50]], "milliseconds": 1520, "window": [50, 400]}');
INSERT INTO "events" VALUES(14,'66de0f26-f1f6-4f2b-90ec-8274b197470f',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','aided','revealed','2026-11-25T02:56:08.022+00:00',2321755,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 0, "cnn_probability": 0.1962}');
INSERT INTO "events" VALUES(15,'e035b88e-a819-4e68-8ddd-110655cde6ee',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','aided','started','2026-11-25T02:56:08.036+00:00',2321769,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(16,'Ann r2','["tiny-2df719a588ce", "Ann", "C002", "revised"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','aided','revised','2026-11-25T02:56:08.057+00:00',2321789,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "seen, \u00e4h", "confidence": 5, "diagnosis": "other", "helpfulness": "no", "history": [[0, "window_centre", 50]], "milliseconds": 1520, "window": [50, 400]}');
INSERT INTO "events" VALUES(17,'77194f25-0011-4cf0-9bc8-86203e225d35',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','unaided','started','2026-11-25T02:56:08.064+00:00',2321797,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(18,'Ann l3','["tiny-2df719a588ce", "Ann", "C004", "locked"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','unaided','locked','2026-11-25T02:56:08.084+00:00',2321817,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 4, "diagnosis": "tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1530, "window": [50, 400]}');
INSERT INTO "events" VALUES(19,'0ea985a2-7f6a-499f-a6c1-63bcbcd21466',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','revealed','2026-11-25T02:56:08.099+00:00',2321831,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 1, "cnn_probability": 0.8333}');
INSERT INTO "events" VALUES(20,'f7e3b720-1e1a-461d-a863-33afa0ccb8ed',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','started','2026-11-25T02:56:08.114+00:00',2321847,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(21,'Ann r3','["tiny-2df719a588ce", "Ann", "C004", "revised"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','revised','2026-11-25T02:56:08.152+00:00',2321885,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "no tumor", "helpfulness": "yes", "history": [[0, "window_centre", 50]], "milliseconds": 1530, "window": [50, 400]}');
INSERT INTO "events" VALUES(22,'fbd19f1a-a64e-462d-84d5-681824201125',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','unaided','started','2026-11-25T02:56:08.164+00:00',2321897,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(23,'Ann l4','["tiny-2df719a588ce", "Ann", "C003", "locked"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','unaided','locked','2026-11-25T02:56:08.192+00:00',2321924,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "no tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1540, "window": [50, 400]}');
INSERT INTO "events" VALUES(24,'5f2b7354-0298-4de4-bd7d-eff2322aa77b',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','aided','revealed','2026-11-25T02:56:08.209+00:00',2321941,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 0, "cnn_probability": 0.2015}');
INSERT INTO "events" VALUES(25,'25068536-fe6f-486a-b272-f9d934d84df2',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','aided','started','2026-11-25T02:56:08.220+00:00',2321953,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(26,'Ann r4','["tiny-2df719a588ce", "Ann", "C003", "revised"]','tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','aided','revised','2026-11-25T02:56:08.248+00:00',2321981,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "no tumor", "helpfulness": "some", "history": [[0, "window_centre", 50]], "milliseconds": 1540, "window": [50, 400]}');
INSERT INTO "events" VALUES(27,'Ann c',NULL,'tiny-2df719a588ce','Ann','701ad67b-626f-42ac-83dc-f739d4ec19df','C002','aided','corrected','2026-11-25T02:56:08.288+00:00',2322020,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "slipped", "confidence": 2, "diagnosis": "tumor", "helpfulness": "no", "target": "aided"}');
INSERT INTO "events" VALUES(28,'8e95c607-4d9c-47e7-b142-6a090eb7cee8','["tiny-2df719a588ce", "slot", 2]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df',NULL,NULL,'enrolled','2026-11-25T02:56:08.316+00:00',2322049,0,'camreader 0.1.0','made-up-network 0123456789ab','{"slot": 2}');
INSERT INTO "events" VALUES(29,'1e4ba1d6-2cdb-4f87-96ca-2eadc56c00ae',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','started','2026-11-25T02:56:08.336+00:00',2322069,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(30,'Bob l0','["tiny-2df719a588ce", "Bob", "C001", "locked"]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','locked','2026-11-25T02:56:08.344+00:00',2322076,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 1, "diagnosis": "tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1500, "window": [50, 400]}');
INSERT INTO "events" VALUES(31,'7be74006-5717-4e75-a5fe-ab3b5b5d69e6',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','revealed','2026-11-25T02:56:08.361+00:00',2322093,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 1, "cnn_probability": 0.8722}');
INSERT INTO "events" VALUES(32,'2c80d760-44de-4c0e-8805-13a0bed93fd6',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','started','2026-11-25T02:56:08.365+00:00',2322097,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(33,'Bob r0','["tiny-2df719a588ce", "Bob", "C001", "revised"]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C001','training','revised','2026-11-25T02:56:08.387+00:00',2322119,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "tumor", "helpfulness": "yes", "history": [[0, "window_centre", 50]], "milliseconds": 1500, "window": [50, 400]}');
INSERT INTO "events" VALUES(34,'48f33d46-3f92-4339-89de-8a99a19427a5',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','unaided','started','2026-11-25T02:56:08.388+00:00',2322120,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(35,'Bob l1','["tiny-2df719a588ce", "Bob", "C004", "locked"]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','unaided','locked','2026-11-25T02:56:08.396+00:00',2322129,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 2, "diagnosis": "no tumor", "history": [[0, "window_centre", 50]], "milliseconds": 1510, "window": [50, 400]}');
INSERT INTO "events" VALUES(36,'eb6cd50f-1c29-43af-8798-2df403d5be45',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','revealed','2026-11-25T02:56:08.415+00:00',2322147,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 1, "cnn_probability": 0.8333}');
INSERT INTO "events" VALUES(37,'467b152b-a796-4670-be87-63ac7f7952e1',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','started','2026-11-25T02:56:08.418+00:00',2322150,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(38,'Bob r1','["tiny-2df719a588ce", "Bob", "C004", "revised"]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C004','aided','revised','2026-11-25T02:56:08.433+00:00',2322166,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "", "confidence": 5, "diagnosis": "other", "helpfulness": "some", "history": [[0, "window_centre", 50]], "milliseconds": 1510, "window": [50, 400]}');
INSERT INTO "events" VALUES(39,'999c5b88-2988-491b-b773-b3d9f21dd9ab',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','unaided','started','2026-11-25T02:56:08.436+00:00',2322168,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
INSERT INTO "events" VALUES(40,'Bob l2','["tiny-2df719a588ce", "Bob", "C003", "locked"]','tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','unaided','locked','2026-11-25T02:56:08.444+00:00',2322177,0,'camreader 0.1.0','made-up-network 0123456789ab','{"comment": "seen, \u00e4h", "confidence": 3, "diagnosis": "other", "history": [[0, "window_centre", 50]], "milliseconds": 1520, "window": [50, 400]}');
INSERT INTO "events" VALUES(41,'064dda6e-59a3-471a-abe7-5444607e12c4',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','aided','revealed','2026-11-25T02:56:08.452+00:00',2322185,0,'camreader 0.1.0','made-up-network 0123456789ab','{"cnn_prediction": 0, "cnn_probability": 0.2015}');
INSERT INTO "events" VALUES(42,'6b61559e-b71f-4d57-8f09-58a22d480200',NULL,'tiny-2df719a588ce','Bob','701ad67b-626f-42ac-83dc-f739d4ec19df','C003','aided','started','2026-11-25T02:56:08.460+00:00',2322192,0,'camreader 0.1.0','made-up-network 0123456789ab','{}');
CREATE TABLE leases (
	study TEXT NOT NULL, 
	reader TEXT NOT NULL, 
	session TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	expires FLOAT NOT NULL, 
	PRIMARY KEY (study, reader)
);
CREATE INDEX events_reader ON events (study, reader);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'readings are append-only: correct through a new event'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'readings are append-only: correct through a new event'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
        WHEN EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id
                     OR once = NEW.once OR sequence = NEW.sequence)
        BEGIN SELECT RAISE(IGNORE); END;
COMMIT;
